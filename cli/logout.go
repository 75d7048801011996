package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

func newLogoutCommand(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "logout",
		Aliases: []string{"leave"},
		Short:   "Hand every file to its heirs, leave the ring and stop",
		Args:    takes(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runLogout(cmd.Context(), a, timeout) },
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "leave after this `TIME` even if copies are missing")
	return cmd
}

func runLogout(ctx context.Context, a *app, timeout time.Duration) error {
	if timeout <= 0 {
		return usagef("--timeout must be greater than zero")
	}
	client := a.client()
	defer client.Close()
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	before := keptFiles(a.paths)
	report, err := client.Logout(ctx, timeout)
	if err != nil {
		return err
	}
	if err := waitStopped(ctx, a); err != nil {
		return err
	}
	for _, dir := range keptFiles(a.paths) {
		if !slices.Contains(before, dir) {
			warnOfKept(a, dir)
		}
	}
	if a.global.json {
		return a.printJSON(report)
	}
	reportShort(a, report)
	if !a.global.quiet {
		a.printf("left ring %q: %s handed over in %s\n", status.Ring, plural(report.Moved, "file"),
			took(time.Duration(report.Seconds*float64(time.Second))))
	}
	return nil
}

// warnOfKept tells where the files are that a node still had when it left.
func warnOfKept(a *app, dir string) {
	a.warn("this node had files that nobody took over, or too few did; they stay in %s", dir)
}

// reportShort warns of the files that have too few copies now.
func reportShort(a *app, report api.Logout) {
	const most = 20
	for i, name := range report.Short {
		if i == most {
			a.warn("… and %d more", len(report.Short)-most)
			return
		}
		a.warn("%s has fewer copies than it should", name)
	}
}
