package cli

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// isPattern reports whether arg could be a glob: it has one of * ? [ and is
// well formed. A bad pattern is only a name.
func isPattern(arg string) bool {
	if !strings.ContainsAny(arg, "*?[") {
		return false
	}
	_, err := path.Match(arg, "")
	return err == nil
}

// folderOf is the folder that arg means, which ends in a slash; false for all that
// is not one, or cannot be.
func folderOf(arg string) (string, bool) {
	name, ok := strings.CutSuffix(arg, "/")
	return name, ok && filestore.ValidateName(name) == nil
}

func isFolder(arg string) bool {
	_, ok := folderOf(arg)
	return ok
}

// resolveNames turns each argument into the stored names it stands for: all names
// below it if it ends in a slash, itself if that is stored or no glob, otherwise every
// name on the ring that matches, sorted. An argument that matches nothing stays, so
// that its command can say so. Each name comes once.
func resolveNames(ctx context.Context, a *app, client *api.Client, args []string) ([]string, error) {
	var names []string
	seen := make(map[string]bool)
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, arg := range args {
		query, nothing := node.ListOptions{Pattern: arg}, arg
		if folder, ok := folderOf(arg); ok {
			query, nothing = node.ListOptions{Prefix: arg}, folder
		} else if literal, err := isName(ctx, client, arg); err != nil {
			return nil, err
		} else if literal {
			add(arg)
			continue
		}
		var matches []string
		summary, err := client.Names(ctx, query, func(name string) error {
			matches = append(matches, name)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !summary.Complete {
			a.warn("%d of %d nodes did not answer: there may be more names that match %s",
				summary.Nodes.Asked-summary.Nodes.Answered, summary.Nodes.Asked, arg)
		}
		if len(matches) == 0 {
			matches = []string{nothing}
		}
		slices.Sort(matches)
		for _, m := range matches {
			add(m)
		}
	}
	return names, nil
}

// isName reports whether an argument is taken as a name: it is no glob, or stored.
func isName(ctx context.Context, client *api.Client, arg string) (bool, error) {
	if !isPattern(arg) {
		return true, nil
	}
	_, err := client.Stat(ctx, arg)
	if err != nil && (errors.Is(err, node.ErrNotFound) || isRefusedName(err)) {
		return false, nil
	}
	return err == nil, err
}

// hintFolder adds to the failure of a command for one name that is not stored that it
// is a folder's, where that is so.
func hintFolder(ctx context.Context, a *app, client *api.Client, verb string, args []string, err error) error {
	if len(args) != 1 || !errors.Is(err, node.ErrNotFound) {
		return err
	}
	folder, found := args[0]+"/", errors.New("found")
	_, listing := client.Names(ctx, node.ListOptions{Prefix: folder}, func(string) error { return found })
	if !errors.Is(listing, found) {
		return err
	}
	return withHint(err, "it is a folder:  %s", a.command(verb+" "+shellQuote(folder)))
}

// isRefusedName reports whether no file can have that name.
func isRefusedName(err error) bool { return api.Describe(err).ID == "bad_name" }
