package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/cli/demo"
	"github.com/dhtfs/dhtfs/node/api"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	nodes int
	keep  bool
}

// AddFlags declares the flags on f.
func (o *demoOptions) AddFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.nodes, "nodes", "n", 5, "start `N` daemons")
	f.BoolVar(&o.keep, "keep", false, "leave the daemons running and their files in place")
}

func newDemoCommand(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo [FILE...]",
		Short: "Watch a ring on this machine store files, lose a node and give them back",
		Long: `demo starts a ring of real daemons on this machine, each with a home in a
temporary directory. It stores files (sample files of several kinds, or those
named), kills one daemon with SIGKILL, fetches everything through another and
compares every byte, shows the ring, logs one node out, fetches and compares
again, and reports what it measured. Nothing is left behind, unless --keep.`,
		RunE: func(cmd *cobra.Command, args []string) error { return runDemo(cmd.Context(), a, o, args) },
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runDemo(ctx context.Context, a *app, o demoOptions, files []string) error {
	if o.nodes < demo.MinNodes || o.nodes > demo.MaxNodes {
		return usagef("-n: the demo plays with %d to %d nodes, not %d", demo.MinNodes, demo.MaxNodes, o.nodes)
	}
	terminal := isTerminal(a.stdout) && os.Getenv("TERM") != "dumb"
	err := demo.Run(ctx, demo.Options{
		Nodes: o.nodes,
		Files: files,
		Keep:  o.keep,
		Out:   a.stdout,
		JSON:  a.global.json,
		Live:  terminal,
		Color: terminal && os.Getenv("NO_COLOR") == "",
	})
	if errors.Is(err, demo.ErrDiffers) {
		return &api.Error{Code: api.ExitIntegrity, ID: "integrity", Message: err.Error()}
	}
	return err
}
