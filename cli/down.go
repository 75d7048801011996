package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

// stopTimeout is how long a daemon that was asked to stop may take.
const stopTimeout = 30 * time.Second

func newDownCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the daemon; the node stays a member",
		Args:  takes(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runDown(cmd.Context(), a) },
	}
}

// doneDocument is what commands print with --json that have nothing to tell
// but that it is done.
type doneDocument struct {
	Schema string `json:"schema"`
	OK     bool   `json:"ok"`
}

func runDown(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	if err := client.Shutdown(ctx); err != nil {
		return err
	}
	if err := waitStopped(ctx, a); err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doneDocument{Schema: "dhtfs.down/v1", OK: true})
	}
	if !a.global.quiet {
		a.printf("stopped; the node stays a member and comes back with:  %s\n", a.command("up"))
	}
	return nil
}

// waitStopped waits for a daemon that was asked to stop.
func waitStopped(ctx context.Context, a *app) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, &api.Error{
		Code:    api.ExitError,
		ID:      "still_running",
		Message: "the daemon was asked to stop and is still running after " + stopTimeout.String(),
		Hint:    "its log says more: " + a.paths.logFile(),
	})
	defer cancel()
	return waitUnlocked(ctx, a.paths)
}
