//go:build unix

package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestKilledAgainAndAgain kills one daemon after the other and starts it again
// while clients store and fetch: nothing is lost, clients with their own retry hardly
// notice, and what those were told that share names is linearizable. Its long form is nine daemons, 500 files and ten minutes.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	size, files, every, lasting := 5, 40, 3*time.Second, 12*time.Second
	if proctest.Long() {
		size, files, every, lasting = 9, 500, 10*time.Second, 10*time.Minute
	}
	ring := proctest.NewRing(t, size)
	l := startLoad(t, ring, 3, files)
	shared := l.share(3, 4)
	rng := rand.New(rand.NewPCG(2, 0))
	kills := 0
	for end := time.Now().Add(lasting); time.Now().Before(end); kills++ {
		next := time.Now().Add(every)
		n := ring.Nodes[rng.IntN(size)]
		l.setAway(n, true)
		n.Kill(t)
		n.Up(t)
		l.setAway(n, false)
		time.Sleep(time.Until(next)) // the pace of the faults, not a wait for anything
	}
	l.end()
	t.Logf("%d kills", kills)
	ring.WaitWhole(t, ring.Nodes...)
	l.checkAll()
	assert.Zero(t, l.counts.failedFetches)
	assert.LessOrEqual(t, l.counts.failedStores, l.counts.stores/1000)
	shared.check(t)
}

// TestRollingRestart stops every daemon in turn and starts it again, as an
// upgrade does: no fetch fails.
func TestRollingRestart(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	ring := proctest.NewRing(t, 5)
	l := startLoad(t, ring, 2, 20)
	for _, n := range ring.Nodes {
		l.setAway(n, true)
		n.Run(t, "down").OK(t)
		n.Up(t)
		l.setAway(n, false)
	}
	l.end()
	l.checkAll()
	assert.Zero(t, l.counts.failedFetches)
	assert.Zero(t, l.counts.failedStores)
}
