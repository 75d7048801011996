package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// listOptions are the flags of ls.
type listOptions struct {
	ring bool
	long bool
	sort string
	tree bool
	nul  bool
}

// AddFlags declares the flags on f.
func (o *listOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.ring, "ring", false, "every name on the ring, not only what this node holds")
	f.BoolVarP(&o.long, "long", "l", false, "also print SHA-256, publisher and mode")
	f.StringVar(&o.sort, "sort", "name", "order: name, size (greatest first) or time (newest first)")
	f.BoolVar(&o.tree, "tree", false, "draw names as a tree")
	f.BoolVarP(&o.nul, "null", "0", false, "print names alone, as they are, each followed by a NUL byte")
}

func newListCommand(a *app) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:     "ls [PREFIX|GLOB]",
		Aliases: []string{"list"},
		Short:   "List the files this node holds, or every file on the ring",
		Args:    takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			arg := ""
			if len(args) > 0 {
				arg = args[0]
			}
			return runList(cmd.Context(), a, o, cmd.Flags().Changed("sort"), arg)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runList(ctx context.Context, a *app, o listOptions, sorted bool, arg string) error {
	if !slices.Contains([]string{"name", "size", "time"}, o.sort) {
		return usagef("--sort: %q is not one of name, size, time", o.sort)
	}
	client := a.client()
	defer client.Close()
	list, err := listing(ctx, client, o, arg)
	if err != nil {
		return err
	}
	if sorted || !a.global.json && !o.nul {
		list = collect(list, order(o.sort))
	}
	var summary api.ListSummary
	switch {
	case a.global.json:
		summary, err = streamList(a, list)
	case o.nul:
		summary, err = list(func(f api.File) error {
			a.output(func() { _, _ = io.WriteString(a.stdout, f.Name+"\x00") })
			return nil
		})
	case o.tree:
		summary, err = printTree(a, list)
	default:
		summary, err = printList(a, o, list)
	}
	if err != nil {
		return err
	}
	if !summary.Complete {
		return incomplete(a, summary)
	}
	return nil
}

// incomplete is the error of a listing for which some nodes did not answer.
func incomplete(a *app, summary api.ListSummary) error {
	return &api.Error{
		Code:    api.ExitPartial,
		ID:      "partial",
		Message: fmt.Sprintf("%d of %d nodes did not answer; there may be more files", summary.Nodes.Asked-summary.Nodes.Answered, summary.Nodes.Asked),
		Hint:    "see who answers:  " + a.command("nodes"),
	}
}

// lister calls yield with every file of a listing.
type lister func(yield func(api.File) error) (api.ListSummary, error)

// listing is what arg asks for: a stored name, else a glob, else a prefix.
func listing(ctx context.Context, client *api.Client, o listOptions, arg string) (lister, error) {
	query := node.ListOptions{Ring: o.ring, Prefix: arg}
	exact := false
	if isPattern(arg) {
		var err error
		if exact, err = isName(ctx, client, arg); err != nil {
			return nil, err
		}
		if !exact {
			query = node.ListOptions{Ring: o.ring, Pattern: arg}
		}
	}
	return func(yield func(api.File) error) (api.ListSummary, error) {
		return client.List(ctx, query, func(f api.File) error {
			if exact && f.Name != arg {
				return nil
			}
			return yield(f)
		})
	}, nil
}

// order compares files for --sort.
func order(by string) func(a, b api.File) int {
	return func(a, b api.File) int {
		first := 0
		switch by {
		case "size":
			first = cmp.Compare(b.Size, a.Size)
		case "time":
			first = b.Modified.Compare(a.Modified)
		}
		return cmp.Or(first, cmp.Compare(a.Name, b.Name))
	}
}

// collect is list in order; it holds all of it in memory.
func collect(list lister, order func(a, b api.File) int) lister {
	return func(yield func(api.File) error) (api.ListSummary, error) {
		var files []api.File
		summary, err := list(func(f api.File) error {
			files = append(files, f)
			return nil
		})
		if err != nil {
			return summary, err
		}
		slices.SortFunc(files, order)
		for _, f := range files {
			if err := yield(f); err != nil {
				return summary, err
			}
		}
		return summary, nil
	}
}

// streamList prints one JSON document as the files come, and a whole one even
// if the listing breaks off.
func streamList(a *app, list lister) (api.ListSummary, error) {
	a.lines.Lock()
	defer a.lines.Unlock()
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	_, _ = out.WriteString(`{"schema":"dhtfs.ls/v1","files":[`)
	separator := "\n"
	summary, err := list(func(f api.File) error {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		_, _ = out.WriteString(separator)
		separator = ",\n"
		_, err = out.Write(printableJSON(line))
		return err
	})
	_, _ = fmt.Fprintf(out, "\n],\"complete\":%t,\"nodes\":{\"asked\":%d,\"answered\":%d}}\n",
		summary.Complete && err == nil, summary.Nodes.Asked, summary.Nodes.Answered)
	return summary, errors.Join(err, out.Flush())
}

func printList(a *app, o listOptions, list lister) (api.ListSummary, error) {
	now := time.Now()
	var rows [][]string
	summary, err := list(func(f api.File) error {
		row := []string{f.Name, size(f.Size), clock(f.Modified, now), f.Role, fmt.Sprintf("%d/%d", f.Copies, f.Want)}
		if o.long {
			row = append(row, f.SHA256, f.Publisher, f.Mode)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil || len(rows) == 0 {
		return summary, err
	}
	header := []string{"NAME", "SIZE", "MODIFIED", "ROLE", "COPIES"}
	if o.long {
		header = append(header, "SHA-256", "PUBLISHER", "MODE")
	}
	return summary, a.printTable(header, rows)
}
