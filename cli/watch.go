package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
	"github.com/dhtfs/dhtfs/node/watch"
)

// openWatch prepares the watching of folders by a daemon.
func openWatch(p paths, n *node.Node, m *node.Membership, log *slog.Logger) (*watch.Service, error) {
	return watch.New(watch.Config{
		Node:    n,
		Self:    m.Machine(),
		Dir:     p.watchDir(),
		Own:     []string{p.Data, p.State, p.Membership, filepath.Dir(p.Config)},
		Private: isHome,
		Logger:  log,
	})
}

// watchAll has a daemon watch folders, if it does not yet.
func watchAll(ctx context.Context, client *api.Client, dirs []string) error {
	for _, dir := range dirs {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		if _, err := client.AddWatch(ctx, api.WatchFolder{Dir: absolute}); err != nil && !errors.Is(err, watch.ErrTwice) {
			return err
		}
	}
	return nil
}

// watchOptions are the flags of watch add.
type watchOptions struct {
	prefix   string
	onDelete string
	exclude  []string
}

// AddFlags declares the flags on f.
func (o *watchOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.prefix, "prefix", "", "put `P` before every name")
	f.StringVar(&o.onDelete, "on-delete", "keep", "what becomes of a file on the ring that is removed from the folder: keep or remove")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out what matches `GLOB`, a line as in .dhtfsignore. May be repeated")
}

func newWatchCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Publish what is in a folder, and what comes into it",
		Long: `Publish what is in a folder, and what comes into it: every file under its path in
the folder, once it is complete. A file that changes becomes a new version, one
that is renamed gets its new name, and one that is removed stays on the ring
unless --on-delete remove says otherwise. The daemon does it, also after a restart.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var o watchOptions
	add := &cobra.Command{
		Use:   "add DIR",
		Short: "Watch a folder from now on",
		Args:  takes(1, 1),
		RunE:  func(cmd *cobra.Command, args []string) error { return runWatchAdd(cmd.Context(), a, o, args[0]) },
	}
	o.AddFlags(add.Flags())
	cmd.AddCommand(add,
		&cobra.Command{
			Use:   "ls",
			Short: "List the watched folders",
			Args:  takes(0, 0),
			RunE:  func(cmd *cobra.Command, _ []string) error { return runWatchList(cmd.Context(), a) },
		},
		&cobra.Command{
			Use:   "rm DIR",
			Short: "Stop watching a folder; what it has published stays",
			Args:  takes(1, 1),
			RunE:  func(cmd *cobra.Command, args []string) error { return runWatchRemove(cmd.Context(), a, args[0]) },
		},
		&cobra.Command{
			Use:   "status",
			Short: "Show what the watched folders are up to, and what is wrong",
			Args:  takes(0, 0),
			RunE:  func(cmd *cobra.Command, _ []string) error { return runWatchStatus(cmd.Context(), a) },
		})
	return cmd
}

func runWatchAdd(ctx context.Context, a *app, o watchOptions, dir string) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	client := a.client()
	defer client.Close()
	change, err := client.AddWatch(ctx, api.WatchFolder{Dir: absolute, Prefix: o.prefix, OnDelete: o.onDelete, Exclude: o.exclude})
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(change)
	}
	if !a.global.quiet {
		a.printf("watching %s; what it is up to:  %s\n", escape(change.Dir), a.command("watch status"))
	}
	return nil
}

// watchList is what `watch ls --json` prints.
type watchList struct {
	Schema  string            `json:"schema"` // dhtfs.watch.ls/v1
	Folders []api.WatchFolder `json:"folders"`
}

func runWatchList(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	doc, err := client.Watched(ctx)
	if err != nil {
		return err
	}
	list := watchList{Schema: "dhtfs.watch.ls/v1", Folders: []api.WatchFolder{}}
	var rows [][]string
	for _, f := range doc.Folders {
		list.Folders = append(list.Folders, f.WatchFolder)
		rows = append(rows, []string{f.Dir, f.Prefix, f.OnDelete, strings.Join(f.Exclude, " ")})
	}
	if a.global.json {
		return a.printJSON(list)
	}
	return a.printTable([]string{"FOLDER", "PREFIX", "ON DELETE", "EXCLUDE"}, rows)
}

func runWatchRemove(ctx context.Context, a *app, dir string) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	client := a.client()
	defer client.Close()
	change, err := client.RemoveWatch(ctx, absolute)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(change)
	}
	if !a.global.quiet {
		a.printf("%s is not watched any more; what it has published stays on the ring\n", escape(change.Dir))
	}
	return nil
}

func runWatchStatus(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	doc, err := client.Watched(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	if len(doc.Folders) == 0 {
		a.inform("no folder is watched; to watch one:  %s\n", a.command("watch add DIR"))
	}
	for _, f := range doc.Folders {
		printWatched(a, f)
	}
	return nil
}

// watchCounts is how many files are how far.
func watchCounts(files, published, waiting, failed int) string {
	text := fmt.Sprintf("%s, %s published", plural(files, "file"), humanize.Comma(int64(published)))
	for _, part := range []struct {
		n    int
		what string
	}{{waiting, "waiting"}, {failed, "failed"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %s %s", humanize.Comma(int64(part.n)), part.what)
		}
	}
	return text
}

// faultsShown is how many faults of a folder people are shown.
const faultsShown = 20

func printWatched(a *app, f api.WatchStatus) {
	a.printf("%s", escape(f.Dir))
	if f.Prefix != "" {
		a.printf(" as %s…", escape(f.Prefix))
	}
	a.printf(": %s; %s", f.State, watchCounts(f.Files, f.Published, f.Waiting, f.Failed))
	if f.Skipped > 0 {
		a.printf("; %d left out", f.Skipped)
	}
	a.printf("\n")
	for i, x := range f.Faults {
		if i == faultsShown {
			a.printf("  and %d more:  %s\n", len(f.Faults)-i, a.command("watch status --json"))
			break
		}
		a.printf("  ")
		if x.Path != "" {
			a.printf("%s: ", escape(x.Path))
		}
		a.printf("%s (%s)\n", escape(x.Reason), clock(x.Since, time.Now()))
		if x.Hint != "" {
			a.printf("    %s\n", escape(x.Hint))
		}
	}
}
