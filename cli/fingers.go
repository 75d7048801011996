package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

func newFingersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "fingers",
		Short: "Show this node's finger table, predecessor and successors",
		Args:  takes(0, 0),
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
		if alone(p) {
			a.printf("alone on the ring\n")
			continue
		}
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

// alone reports whether p knows of no position but itself.
func alone(p api.Position) bool {
	other := p.Predecessor != nil && p.Predecessor.ID != p.ID
	for _, s := range p.Successors {
		other = other || s.ID != p.ID
	}
	return !other
}
