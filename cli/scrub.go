package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

func newScrubCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scrub",
		Short: "Tell or change how this node re-reads all it holds",
		Long: `A node reads everything it holds again and again, slowly, and heals what it finds
damaged. "dhtfs verify" does it at once and at full speed.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runScrub(cmd.Context(), a, (*api.Client).Scrub) },
	}
	verb := func(name, short string, call func(*api.Client, context.Context) (api.Scrub, error)) {
		cmd.AddCommand(&cobra.Command{
			Use: name, Short: short, Args: takes(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error { return runScrub(cmd.Context(), a, call) },
		})
	}
	verb("status", "Show how far the scrub is and what it found", (*api.Client).Scrub)
	verb("start", "Begin a scrub now, or go on with a paused one", (*api.Client).ScrubStart)
	verb("pause", "Stop scrubbing until it is started again", (*api.Client).ScrubPause)
	return cmd
}

func runScrub(ctx context.Context, a *app, call func(*api.Client, context.Context) (api.Scrub, error)) error {
	client := a.client()
	defer client.Close()
	doc, err := call(client, ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	for _, line := range scrubLines(doc, time.Now()) {
		a.printf("%s\n", line)
	}
	if doc.State == "halted" {
		a.warn("this node is degraded, and neither scrubs nor heals:  %s", a.command("status"))
	}
	return nil
}

// scrubLines are a scrub document for people.
func scrubLines(s api.Scrub, now time.Time) []string {
	state := "scrub " + s.State
	switch {
	case s.Next != nil:
		state += fmt.Sprintf("; the next begins %s, at %s/s at most", clock(*s.Next, now), size(s.Limit))
	case s.Pass != nil && s.State == "running":
		state += fmt.Sprintf("; %s/s of %s/s at most", size(int64(s.Rate)), size(s.Limit))
	}
	lines := []string{state}
	if p := s.Pass; p != nil {
		done := ""
		if s.OfBytes > 0 {
			done = fmt.Sprintf(" (%d %%)", min(100, p.Bytes*100/s.OfBytes))
		}
		lines = append(lines, fmt.Sprintf("this one began %s: %d of %s, %s of %s%s; %s",
			clock(p.Begun, now), p.Files, plural(s.OfFiles, "file"), size(p.Bytes), size(s.OfBytes), done, damage(p.Damaged, p.Healed)))
	}
	if p := s.Last; p != nil {
		lines = append(lines, fmt.Sprintf("the last ended %s: %s, %s; %s",
			clock(*p.Ended, now), plural(p.Files, "file"), size(p.Bytes), damage(p.Damaged, p.Healed)))
	}
	since := "since this node was started: " + damage(s.Found, s.Healed)
	if s.Open > 0 {
		since += fmt.Sprintf(", %d to go", s.Open)
	}
	return append(lines, since)
}

func damage(found, healed int) string {
	if found == 0 {
		return "no damage"
	}
	return fmt.Sprintf("%d damaged, %d healed", found, healed)
}
