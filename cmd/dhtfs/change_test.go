//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// put stores a text under a name, whatever was there before.
func put(t testing.TB, at *proctest.Node, name, text string) proctest.Result {
	t.Helper()
	return proctest.Start(t, strings.NewReader(text), nil, at.Args("store", "-", "--as", name, "--force")...).Wait(t).OK(t)
}

// neverOld fetches a name through a node until its copy there is the new one,
// and expects to see no other text than that.
func neverOld(t testing.TB, at *proctest.Node, name, text string) {
	t.Helper()
	fetched := 0
	proctest.Eventually(t, time.Minute, func() error {
		result := at.Run(t, "cat", "--retry", "1ms", name)
		if result.Code == 0 {
			fetched++
			require.Equal(t, text, string(result.Stdout), "%s serves an old version", at.Name)
		} else if !slices.Contains([]int{10, 11}, result.Code) {
			require.Fail(t, "unexpected answer", "%s", result)
		}
		stat := at.Run(t, "stat", "--json", name)
		if stat.Code != 0 {
			return fmt.Errorf("%s", stat)
		}
		var file proctest.File
		stat.JSON(t, &file)
		if file.Copies < 3 || !file.Confirmed {
			return fmt.Errorf("not three copies yet: %+v", file)
		}
		if fetched == 0 { // it was not up yet when the fetch was tried
			return errors.New("not fetched yet")
		}
		return nil
	})
}

// nameAt returns a name that a node is in the group of.
func nameAt(t testing.TB, ring *proctest.Ring, prefix string, n *proctest.Node) string {
	t.Helper()
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s %d", prefix, i)
		if slices.Contains(group(t, ring, name), n) {
			return name
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	ring := proctest.NewRing(t, 5)

	t.Run("of several stores of one name at once one wins", func(t *testing.T) { onlyOneWins(t, ring) })
	t.Run("a deleted file is gone at once and everywhere", func(t *testing.T) {
		put(t, ring.Nodes[0], "gone", "soon")
		ring.Nodes[1].Run(t, "rm", "--yes", "gone").OK(t)
		for _, n := range ring.Nodes {
			assert.Equal(t, "not_found", n.Run(t, "fetch", "--json", "gone", "-o", t.TempDir()).Failure(t).ID, n.Name)
			assert.Equal(t, 4, n.Run(t, "exists", "gone").Code, n.Name)
			_, names := listRing(t, n)
			assert.NotContains(t, names, "gone", n.Name)
		}
		for _, n := range ring.Nodes {
			proctest.Eventually(t, 10*time.Second, func() error {
				if files := n.Files(t); slices.ContainsFunc(files, func(path string) bool { return filepath.Base(path) == "gone" }) {
					return fmt.Errorf("%s still has the content: %v", n.Name, files)
				}
				return nil
			})
		}
		put(t, ring.Nodes[2], "gone", "back again")
		assert.Equal(t, "back again", string(ring.Nodes[3].Run(t, "cat", "gone").OK(t).Stdout))
	})

	for i, member := range []string{"the owner", "the second", "the third"} {
		t.Run("a file replaced and one deleted while "+member+" of the group is down", func(t *testing.T) {
			name := fmt.Sprintf("replaced %d", i)
			members := group(t, ring, name)
			down, other := members[i], members[(i+1)%3]
			deleted := nameAt(t, ring, fmt.Sprintf("deleted %d", i), down)
			put(t, other, name, "old")
			put(t, other, deleted, "old")
			down.Kill(t)
			put(t, other, name, "new")
			other.Run(t, "rm", "--yes", deleted).OK(t)
			up := proctest.Start(t, nil, nil, down.Args("up")...)
			neverOld(t, down, name, "new")
			up.Wait(t).OK(t)
			for _, n := range ring.Nodes {
				assert.Equal(t, "new", string(n.Run(t, "cat", name).OK(t).Stdout), n.Name)
				assert.Equal(t, 4, n.Run(t, "exists", deleted).Code, n.Name)
			}
			ring.WaitWhole(t, ring.Nodes...)
		})
	}

	t.Run("a node that is stopped hinders nobody", func(t *testing.T) {
		want := storeSome(t, ring.Nodes[0], 20)
		members := group(t, ring, "paused")
		paused := members[0]
		put(t, ring.Nodes[1], "paused", "old")
		others := ring.Except(paused)
		paused.Signal(t, syscall.SIGSTOP)
		defer paused.Signal(t, syscall.SIGCONT)

		for i, n := range others {
			t.Logf("fetched all through %s in %v", n.Name, want.check(t, n))
			name, text := fmt.Sprintf("meanwhile %d", i), "stored while "+paused.Name+" was stopped"
			t.Logf("stored through %s in %v", n.Name, put(t, n, name, text).Took)
			want[name] = hashOf(t, strings.NewReader(text))
		}
		put(t, others[0], "paused", "new")
		for _, n := range others {
			want.check(t, n)
			assert.Equal(t, "new", string(n.Run(t, "cat", "paused").OK(t).Stdout), n.Name)
		}

		paused.Signal(t, syscall.SIGCONT)
		neverOld(t, paused, "paused", "new")
		want.check(t, paused)
		ring.WaitWhole(t, ring.Nodes...)
	})
}

// onlyOneWins has all nodes store other content under one new name at the same
// time: one wins, and the others are told.
func onlyOneWins(t *testing.T, ring *proctest.Ring) {
	for round := range 5 {
		name := fmt.Sprintf("wanted %d", round)
		var commands []*proctest.Command
		for _, n := range ring.Nodes {
			text := bytes.NewReader([]byte("by " + n.Name))
			commands = append(commands, proctest.Start(t, text, nil, n.Args("store", "-", "--json", "--as", name)...))
		}
		winner := ""
		for i, c := range commands {
			result := c.Wait(t)
			if result.Code == 0 {
				assert.Empty(t, winner, "two stores of one name succeeded")
				winner = ring.Nodes[i].Name
			} else {
				assert.Equal(t, 5, result.Code, "%s", result)
			}
		}
		require.NotEmpty(t, winner)
		for _, n := range ring.Nodes {
			assert.Equal(t, "by "+winner, string(n.Run(t, "cat", name).OK(t).Stdout), n.Name)
		}
	}
}
