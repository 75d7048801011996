//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// group asks where a name is kept: the nodes of its group, the owner first.
func group(t testing.TB, ring *proctest.Ring, name string) []*proctest.Node {
	t.Helper()
	var doc struct{ Group []struct{ Name string } }
	ring.Nodes[0].Run(t, "locate", "--json", name).OK(t).JSON(t, &doc)
	var nodes []*proctest.Node
	for _, member := range doc.Group {
		nodes = append(nodes, ring.Node(member.Name))
	}
	require.Len(t, nodes, 3)
	return nodes
}

// storing is a store that is under way.
type storing struct {
	name    string
	sum     string
	members []*proctest.Node // of the name's group, the owner first
	command *proctest.Command
}

// startStoring begins to store a file slowly and returns when every member of
// its group has some of it.
func startStoring(t testing.TB, ring *proctest.Ring, name string, entry func(members []*proctest.Node) *proctest.Node, flags ...string) storing {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content")
	writeFile(t, path, 9<<20)
	s := storing{name: name, sum: hashOfFile(t, path), members: group(t, ring, name)}
	args := append([]string{"store", "--json", "--limit", "5MiB/s", "--as", name, path}, flags...)
	s.command = proctest.Start(t, nil, nil, entry(s.members).Args(args...)...)
	proctest.Eventually(t, 20*time.Second, func() error {
		for _, n := range s.members {
			if !hasStaged(t, n, 1<<20) {
				return fmt.Errorf("%s has got little of %s", n.Name, name)
			}
		}
		return nil
	})
	return s
}

// hasStaged reports whether a node has a temporary file of at least size bytes.
func hasStaged(t testing.TB, n *proctest.Node, size int64) bool {
	return slices.ContainsFunc(n.Temporaries(t), func(path string) bool {
		info, err := os.Stat(filepath.Join(n.Home, "files", path))
		return err == nil && info.Size() >= size
	})
}

// check finds, through every node, the whole file or none, and one that was
// acknowledged whole; and that nothing temporary is left.
func (s storing) check(t *testing.T, ring *proctest.Ring, acknowledged bool) {
	t.Helper()
	var sums []string
	for _, n := range ring.Nodes {
		result := n.Run(t, "cat", s.name)
		if result.Code == 4 && !acknowledged {
			sums = append(sums, "")
			continue
		}
		sums = append(sums, hashOf(t, strings.NewReader(string(result.OK(t).Stdout))))
		assert.Equal(t, s.sum, sums[len(sums)-1], n.Name)
	}
	assert.Len(t, slices.Compact(sums), 1, "the nodes do not agree")
	for _, n := range ring.Nodes {
		proctest.Eventually(t, 20*time.Second, func() error {
			if left := n.Temporaries(t); left != nil {
				return fmt.Errorf("%s has %v left", n.Name, left)
			}
			return nil
		})
	}
}

func owner(members []*proctest.Node) *proctest.Node { return members[0] }

// TestKilledWhileStoring kills a daemon in the middle of a store.
func TestKilledWhileStoring(t *testing.T) {
	t.Parallel()
	plainOnly(t)
	ring := proctest.NewRing(t, 5)
	outside := func(members []*proctest.Node) *proctest.Node { return ring.Except(members...)[0] }
	back := func(t *testing.T, n *proctest.Node) {
		t.Helper()
		left := n.Temporaries(t)
		n.Up(t)
		// New ones may be there: the node begins at once to get what it missed.
		for _, temporary := range n.Temporaries(t) {
			assert.NotContains(t, left, temporary, "%s has just started", n.Name)
		}
	}

	t.Run("the client's own, which coordinates", func(t *testing.T) {
		s := startStoring(t, ring, "entry", owner, "--retry", "1s")
		s.members[0].Kill(t)
		failure := s.command.Wait(t).Failure(t)
		t.Logf("the client says: %s (exit code %d)", failure.Message, failure.Code)
		assert.Contains(t, []int{1, 10, 11}, failure.Code)
		assert.NotEmpty(t, failure.Hint)
		for _, jargon := range []string{"reset by peer", "EOF", "deadline exceeded", "broken pipe"} {
			assert.NotContains(t, failure.Message, jargon)
		}
		back(t, s.members[0])
		s.check(t, ring, false)
	})
	t.Run("the client's own, which comes back", func(t *testing.T) {
		s := startStoring(t, ring, "back", outside)
		entry := outside(s.members)
		entry.Kill(t)
		back(t, entry)
		t.Logf("stored in %v", s.command.Wait(t).OK(t).Took)
		s.check(t, ring, true)
	})
	t.Run("the coordinator", func(t *testing.T) {
		s := startStoring(t, ring, "coordinator", outside)
		s.members[0].Kill(t)
		t.Logf("stored in %v", s.command.Wait(t).OK(t).Took)
		back(t, s.members[0])
		s.check(t, ring, true)
	})
	t.Run("another member of the group", func(t *testing.T) {
		s := startStoring(t, ring, "member", outside)
		s.members[2].Kill(t)
		t.Logf("stored in %v", s.command.Wait(t).OK(t).Took)
		back(t, s.members[2])
		s.check(t, ring, true)
	})
}
