package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newNodesCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the members of the ring",
		Args:  takes(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runNodes(cmd.Context(), a) },
	}
	cmd.AddCommand(newPromoteCommand(a), newForgetCommand(a), newRevokeCommand(a))
	return cmd
}

func runNodes(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	doc, err := client.Nodes(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	var rows [][]string
	for _, m := range doc.Nodes {
		trip := "-"
		switch {
		case m.Self:
			trip = "this node"
		case m.RTT > 0:
			trip = fmt.Sprintf("%.1f ms", m.RTT)
		}
		id := short(m.ID)
		if a.global.verbose {
			id = m.ID
		}
		rows = append(rows, []string{m.Name, id, m.Address, m.State, trip, fmt.Sprint(m.Files), size(m.Used), size(m.Free), m.Version, mark(m.Issuer)})
	}
	err = a.printTable([]string{"NAME", "NODE", "ADDRESS", "STATE", "ROUND TRIP", "FILES", "USED", "FREE", "VERSION", "ISSUER"}, rows)
	for _, m := range doc.Nodes {
		if m.Degraded != "" {
			a.warn("%s is degraded: %s", m.Name, m.Degraded)
		}
	}
	return err
}

func mark(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
