package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	repair bool
	limit  byteRate
}

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [NAME|GLOB]",
		Short: "Read back what this node holds, and check every byte",
		Long: `Read back what this node holds, and check every byte against the hashes that it
was stored with. A damaged file is put into quarantine and not served any more;
the node gets a good copy from the others by itself, or with --repair at once.`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), a, o, strings.Join(args, ""))
		},
	}
	cmd.Flags().BoolVar(&o.repair, "repair", false, "get good copies from the other nodes before going on")
	cmd.Flags().Var(&o.limit, "limit", "read no faster than this `RATE`, like 50MiB/s")
	return cmd
}

// verifiedLine is an item of `verify --json`: a file that is not, or was not,
// as it should be.
type verifiedLine struct {
	Type   string   `json:"type"` // item
	Name   string   `json:"name"`
	Action string   `json:"action"` // damaged, missing or healed
	Size   int64    `json:"size"`
	From   []string `json:"from,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// verifySummary is the last line of `verify --json`.
type verifySummary struct {
	Type    string  `json:"type"` // summary
	OK      bool    `json:"ok"`
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	Damaged int     `json:"damaged"`
	Missing int     `json:"missing"`
	Healed  int     `json:"healed"`
	Seconds float64 `json:"seconds"`
}

func runVerify(ctx context.Context, a *app, o verifyOptions, pattern string) error {
	client := a.client()
	defer client.Close()
	a.jsonLines = true
	start := time.Now()
	bar := a.newProgress("verified", 0)
	known := false
	sum, err := client.Verify(ctx, api.VerifyRequest{Pattern: pattern, Repair: o.repair, Rate: int64(o.limit.perSecond)},
		func(v api.Verified) error { return printVerified(a, v) },
		func(p api.VerifyProgress) {
			if !known {
				bar.expect(p.OfBytes)
				known = true
			}
			bar.add(p.Bytes - bar.moved.Load())
		})
	bar.end()
	if err != nil {
		return err
	}
	took := time.Since(start)
	clean := sum.Damaged+sum.Missing == 0
	if a.global.json {
		if err := a.printJSON(verifySummary{
			Type: "summary", OK: clean, Files: sum.Files, Bytes: sum.Bytes,
			Damaged: sum.Damaged, Missing: sum.Missing, Healed: sum.Healed, Seconds: took.Seconds(),
		}); err != nil {
			return err
		}
	} else {
		a.inform("%s\n", verifySentence(sum, took))
	}
	if clean {
		return nil
	}
	return a.unhealed(sum, o)
}

// printVerified prints a file that is not as it should be.
func printVerified(a *app, v api.Verified) error {
	if a.global.json {
		return a.printJSON(verifiedLine{Type: "item", Name: v.Name, Action: v.State, Size: v.Size, From: v.From, Error: v.Error})
	}
	line := fmt.Sprintf("%-7s  %s  %s", v.State, escape(v.Name), size(v.Size))
	switch {
	case v.State == "healed" && len(v.From) > 0:
		line += "  from " + escape(strings.Join(v.From, ", "))
	case v.Error != "":
		line += "  " + escape(v.Error)
	}
	a.printf("%s\n", line)
	return nil
}

// verifySentence is the summary for people.
func verifySentence(p api.VerifyProgress, d time.Duration) string {
	s := fmt.Sprintf("%s verified, %s in %s (%s)", plural(p.Files, "file"), size(p.Bytes), took(d), speed(p.Bytes, d))
	for _, c := range []struct {
		n    int
		what string
	}{{p.Damaged, "damaged"}, {p.Missing, "missing"}, {p.Healed, "healed"}} {
		if c.n > 0 {
			s += fmt.Sprintf("; %d %s", c.n, c.what)
		}
	}
	return s
}

// unhealed is the error of a verification that leaves something to be healed.
func (a *app) unhealed(p api.VerifyProgress, o verifyOptions) error {
	err := &api.Error{
		Code: api.ExitIntegrity, ID: "integrity",
		Message: fmt.Sprintf("%s without a good copy here", plural(p.Damaged+p.Missing, "file")),
		Hint:    "this node gets good copies from the others by itself; to wait for that:  " + a.command("verify --repair"),
	}
	if o.repair {
		err.Hint = "no other node gave a good copy; see who answers:  " + a.command("nodes")
	}
	return err
}
