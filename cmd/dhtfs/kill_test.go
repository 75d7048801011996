//go:build unix

package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// atRest is how long after the last join a ring takes a change for a restart
// that wants patience rather than for news that wants copies at once.
const atRest = 35 * time.Second

// TestTwoNodesKilledAtOnce kills two of seven nodes that share no file's group
// and later two of the five that are left and follow one another.
func TestTwoNodesKilledAtOnce(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	ring := proctest.NewRing(t, 7)
	order := ring.WaitWhole(t, ring.Nodes...)
	want := storeSome(t, order[1], 40)
	if proctest.Long() {
		time.Sleep(atRest)
	}

	t.Log("far apart")
	left := lose(t, want, order, order[0], order[3])
	order = ring.WaitWhole(t, left...)
	t.Log("adjacent")
	lose(t, want, order, order[1], order[2])
}

// lose kills two nodes at once and returns those that are left. Every file must
// be fetched within ten seconds, and the copies be back within a minute
// wherever a majority of a file's voters lives.
func lose(t *testing.T, want shelf, order []*proctest.Node, a, b *proctest.Node) []*proctest.Node {
	t.Helper()
	left := slices.DeleteFunc(slices.Clone(order), func(n *proctest.Node) bool { return n == a || n == b })
	safe := map[string]bool{} // a majority of the voters lives on
	for name := range want {
		lost, file := 0, left[0].Stat(t, name)
		require.Equal(t, 3, file.Copies, "%+v", file)
		for _, h := range file.Holders {
			if h.Voter && (h.Name == a.Name || h.Name == b.Name) {
				lost++
			}
		}
		safe[name] = lost < 2
	}

	proctest.Kill(t, a, b)
	killed := time.Now()
	for _, n := range left {
		took := want.check(t, n)
		t.Logf("fetched all through %s in %v", n.Name, took)
		assert.Less(t, took, 10*time.Second, n.Name)
	}
	waiting := want.names()
	proctest.Eventually(t, time.Until(killed.Add(time.Minute)), func() error {
		for len(waiting) > 0 {
			name := waiting[0]
			if safe[name] {
				file := left[0].Stat(t, name)
				durable := file.Durable()
				if !file.Confirmed || file.Copies < 3 || len(durable) < 3 || slices.Contains(durable, a.Name) || slices.Contains(durable, b.Name) {
					return fmt.Errorf("%d files to go, first %+v", len(waiting), file)
				}
			}
			waiting = waiting[1:]
		}
		return nil
	})
	t.Logf("copies were back after %v", time.Since(killed))
	return left
}
