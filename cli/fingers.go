package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func newFingersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "fingers",
		Short: "Show this node's finger table, predecessor and successors",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runFingers(cmd.Context(), a) },
	}
}

func runFingers(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	doc, err := client.Fingers(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	for _, p := range doc.Positions {
		a.printf("position %s\n", p.ID)
		var rows [][]string
		if p.Predecessor != nil {
			rows = append(rows, []string{"predecessor", "", short(p.Predecessor.ID), p.Predecessor.Name, p.Predecessor.Address})
		}
		for _, s := range p.Successors {
			rows = append(rows, []string{"successor", "", short(s.ID), s.Name, s.Address})
		}
		for _, f := range p.Fingers {
			rows = append(rows, []string{"finger", "from " + short(f.Start), short(f.ID), f.Name, f.Address})
		}
		if err := a.printTable(nil, rows); err != nil {
			return err
		}
	}
	return nil
}
