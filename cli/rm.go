package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

func newRemoveCommand(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "rm NAME|GLOB|FOLDER/...",
		Aliases: []string{"delete"},
		Short:   "Remove files from the ring, for everybody",
		Args:    takes(1, noLimit),
		RunE:    func(cmd *cobra.Command, args []string) error { return runRemove(cmd.Context(), a, args, yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func runRemove(ctx context.Context, a *app, args []string, yes bool) error {
	if !yes && !isTerminal(a.stdin) {
		return withHint(usagef("rm removes files for everybody on the ring, and there is no terminal to ask at"), "say --yes if that is meant")
	}
	client := a.client()
	defer client.Close()
	names, partly, err := resolveNames(ctx, a, client, args)
	if err != nil {
		return err
	}
	what := escape(names[0])
	if len(names) > 1 {
		what = plural(len(names), "file")
	}
	if err := ask(ctx, a, yes, "remove "+what+" from the ring, for everybody?"); err != nil {
		return err
	}
	report := newReport(a, "removed", len(names))
	report.partly = partly
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		if err := remove(ctx, client, name); err != nil {
			report.fail(ctx, name, err)
			continue
		}
		report.item(done, 0, removedLine{Type: "item", Name: name, Action: "removed"}, func() string { return "removed " + escape(name) })
	}
	return hintFolder(a, "rm", args, report.end(ctx))
}

// removedLine is an item of `rm --json`.
type removedLine struct {
	Type   string `json:"type"` // item
	Name   string `json:"name"`
	Action string `json:"action"` // removed
}

// remove deletes one name; a retry carries the same operation ID, so that it
// is done once.
func remove(ctx context.Context, client *api.Client, name string) error {
	stat, err := client.Stat(ctx, name)
	if err != nil {
		return err
	}
	op := node.NewOp()
	return retry(ctx, retryTime, nil, func(attempt int) error {
		err := client.Delete(ctx, name, op, stat.Changes)
		if attempt > 0 && errors.Is(err, node.ErrNotFound) {
			return nil // by an earlier attempt whose answer was lost
		}
		return err
	})
}

// retryTime is how long an operation is tried again whose outcome is open or
// that too few nodes have answered.
const retryTime = 2 * time.Minute
