//go:build unix

package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestAHomeInAWatchedFolder makes the home of another node in a folder that is
// watched already: neither its keys nor anything else of it gets on the ring.
func TestAHomeInAWatchedFolder(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	ring := proctest.NewRing(t, 1)
	first, dir := ring.Nodes[0], t.TempDir()
	second := &proctest.Node{Name: "n1", Home: makeDir(t, dir, "h")}
	first.Run(t, "watch", "add", dir).OK(t)
	names := func() []string { return slices.Sorted(maps.Keys(listed(t, first, ""))) }
	drop := func(name string) {
		t.Helper()
		writeFile(t, filepath.Join(dir, name), 10)
		proctest.Eventually(t, time.Minute, func() error {
			if got := names(); !slices.Contains(got, name) {
				return fmt.Errorf("the ring has %q", got)
			}
			return nil
		})
	}
	drop("h/before")

	ring.Nodes = append(ring.Nodes, second)
	token := first.Run(t, "invite", "--print", "token").OK(t).Stdout
	second.Run(t, "join", string(token), "--name", second.Name, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0").OK(t)
	for _, secret := range []string{"member/node.key", "http.token", "home.lock"} {
		require.FileExists(t, filepath.Join(second.Home, secret))
	}
	drop("later") // what was there before it has had its turn
	drop("last")
	assert.Equal(t, []string{"h/before", "last", "later"}, names())
	assert.Contains(t, string(first.Run(t, "watch", "status").OK(t).Stdout), "the home of a node, with its secret keys, is left out")
}
