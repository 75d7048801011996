package cli

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

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

// resolveNames turns each argument into the stored names it stands for: itself
// if that is stored or no glob, otherwise every name on the ring that matches,
// sorted. An argument that matches nothing stays, so that its command can say
// so. Each name comes once.
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
		if !isPattern(arg) {
			add(arg)
			continue
		}
		_, err := client.Stat(ctx, arg)
		if err != nil && !errors.Is(err, node.ErrNotFound) && !isRefusedName(err) {
			return nil, err
		}
		if err == nil {
			add(arg)
			continue
		}
		var matches []string
		summary, err := client.Names(ctx, arg, func(name string) error {
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
			matches = []string{arg}
		}
		slices.Sort(matches)
		for _, m := range matches {
			add(m)
		}
	}
	return names, nil
}

// isRefusedName reports whether no file can have that name.
func isRefusedName(err error) bool { return api.Describe(err).ID == "bad_name" }
