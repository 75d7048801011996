package cli

import (
	"context"
	"errors"
	"fmt"
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

// isFolder reports whether arg means a folder: it ends in a slash, and is a name but
// for that.
func isFolder(arg string) bool {
	name, ok := strings.CutSuffix(arg, "/")
	return ok && filestore.ValidateName(name) == nil
}

// resolveNames turns each argument into the stored names it stands for: all names
// below it if it ends in a slash, itself if that is stored or no glob, otherwise every
// name on the ring that matches, sorted. A glob that matches nothing stays, so that
// its command can say so; a folder without files is an error, since there may be a
// file of that name without the slash. Each name comes once. partly is what the command
// ends with where all that it finds goes well: some nodes did not say what they have.
func resolveNames(ctx context.Context, a *app, client *api.Client, args []string) (names []string, partly, err error) {
	seen := make(map[string]bool)
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, arg := range args {
		query, folder := node.ListOptions{Pattern: arg}, isFolder(arg)
		if folder {
			query = node.ListOptions{Prefix: arg}
		} else if literal, err := isName(ctx, client, arg); err != nil {
			return nil, nil, err
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
			return nil, nil, err
		}
		if !summary.Complete {
			partly = incomplete(a, summary)
		}
		if len(matches) == 0 {
			if partly != nil {
				a.warn("%v", partly)
			}
			if folder {
				return nil, nil, &api.Error{Code: api.ExitNotFound, ID: "not_found", Message: fmt.Sprintf("there is no file below %q", arg)}
			}
			matches = []string{arg}
		}
		slices.Sort(matches)
		for _, m := range matches {
			add(m)
		}
	}
	return names, partly, nil
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
// may be a folder's. To find out would take a listing of the whole ring.
func hintFolder(a *app, verb string, args []string, err error) error {
	if len(args) != 1 || !errors.Is(err, node.ErrNotFound) || !isFolder(args[0]+"/") {
		return err
	}
	return withHint(err, "what the ring has:  %s;  if that is a folder:  %s", a.command("ls --ring"), a.command(verb+" "+shellQuote(args[0]+"/")))
}

// isRefusedName reports whether no file can have that name.
func isRefusedName(err error) bool { return api.Describe(err).ID == "bad_name" }
