package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

func newStatCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stat NAME",
		Short: "Show what the ring knows of a file and who holds it",
		Args:  takes(1, 1),
		RunE:  func(cmd *cobra.Command, args []string) error { return runStat(cmd.Context(), a, args[0]) },
	}
}

func runStat(ctx context.Context, a *app, name string) error {
	client := a.client()
	defer client.Close()
	doc, err := client.Stat(ctx, name)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	now := time.Now()
	rows := [][]string{
		{"name", doc.Name},
		{"key", doc.Key},
		{"size", fmt.Sprintf("%s (%d bytes)", size(doc.Size), doc.Size)},
		{"sha-256", doc.SHA256},
		{"modified", clock(doc.Modified, now)},
		{"stored", clock(doc.Stored, now) + " by " + doc.Publisher},
		{"version", fmt.Sprintf("change %d, operation %s", doc.Changes, doc.OperationID)},
		{"copies", fmt.Sprintf("%d of %d", doc.Copies, doc.Want)},
	}
	if doc.ConflictOf != "" {
		rows = append(rows, []string{"lost to", doc.ConflictOf})
	}
	for _, name := range doc.Conflicts {
		rows = append(rows, []string{"conflict", name})
	}
	if err := a.printTable(nil, rows); err != nil {
		return err
	}
	rows = nil
	for _, h := range doc.Holders {
		state := h.State
		if !h.Voter && state == string(node.Durable) {
			state += ", without a vote"
		}
		rows = append(rows, []string{h.Name, short(h.ID), h.Address, state})
	}
	if err := a.printTable([]string{"HOLDER", "NODE", "ADDRESS", "STATE"}, rows); err != nil {
		return err
	}
	for _, w := range doubts(doc.File) {
		a.warn("%s: %s", doc.Name, w)
	}
	return nil
}

// doubts are reasons why a record may not be the newest.
func doubts(f api.File) (why []string) {
	if !f.Confirmed {
		why = append(why, "too few nodes answered to confirm that this is the newest version")
	}
	if f.Forced {
		why = append(why, "most nodes that kept this name did not answer and were replaced; if they had a newer version it comes back with them")
	}
	return why
}

func newExistsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "exists NAME",
		Short: "Exit with 0 if the name is stored, with 4 if not",
		Args:  takes(1, 1),
		RunE:  func(cmd *cobra.Command, args []string) error { return runExists(cmd.Context(), a, args[0]) },
	}
}

// existsDocument is what `exists --json` prints.
type existsDocument struct {
	Schema string `json:"schema"` // dhtfs.exists/v1
	Name   string `json:"name"`
	Exists bool   `json:"exists"`
}

func runExists(ctx context.Context, a *app, name string) error {
	client := a.client()
	defer client.Close()
	_, err := client.Stat(ctx, name)
	absent := errors.Is(err, node.ErrNotFound)
	if err != nil && !absent {
		return err
	}
	if a.global.json {
		if err := a.printJSON(existsDocument{Schema: "dhtfs.exists/v1", Name: name, Exists: !absent}); err != nil {
			return err
		}
	}
	if absent {
		return errQuiet(api.ExitNotFound)
	}
	return nil
}
