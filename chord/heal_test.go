package chord

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// settled returns a world with an ideal ring of so many machines.
func settled(t testing.TB, seed uint64, want, hosts, positions int) *world {
	w := newWorld(t, seed, want)
	all := make([]*host, hosts)
	for i := range all {
		all[i] = w.newHost(positions)
	}
	w.ideal(all...)
	w.run(5 * time.Second)
	return w
}

func (w *world) mustHeal(limit time.Duration, what string) time.Duration {
	w.t.Helper()
	took, ok := w.until(limit, w.perfect)
	if !ok {
		w.failf("%s: not ideal after %v: %v", what, limit, w.imperfection())
	}
	return took
}

func TestManyJoinsAtOnce(t *testing.T) {
	for _, seed := range simSeeds(t, 1) {
		w := newWorld(t, seed, 8)
		first := w.newHost(1)
		w.start(first)
		for range bubble.Fewer(499) {
			h := w.newHost(1)
			via := w.hosts[w.rng.IntN(len(w.hosts)-1)].nodes[0].m.self
			w.after(time.Duration(w.rng.Int64N(int64(30*time.Second))), func() { w.start(h, via, first.nodes[0].m.self) })
		}
		w.run(30 * time.Second)
		took := w.mustHeal(60*time.Second, "joins within 30 s")
		t.Logf("ideal %v after the last of %d joins", took, len(w.hosts))
	}
}

func TestConsecutiveDeaths(t *testing.T) {
	var worst time.Duration
	for _, seed := range simSeeds(t, 10) {
		w := settled(t, seed, 8, 40, 1)
		members := w.members()
		at := w.rng.IntN(len(members))
		for i := range w.want - 1 {
			w.crash(members[(at+i)%len(members)].host)
		}
		worst = max(worst, w.mustHeal(15*time.Second, "r-1 neighbours died"))
	}
	t.Logf("healed within %v", worst)
}

// A machine that falls silent, or is stopped, is no longer anybody's first
// successor, and its range is claimed by the one after it, within 3 s.
func TestSilenceIsNoticed(t *testing.T) {
	var worst time.Duration
	for _, seed := range simSeeds(t, 40) {
		w := settled(t, seed, 8, 20, 1)
		members := w.members()
		i := w.rng.IntN(len(members))
		dead, heir := members[i], members[(i+1)%len(members)]
		dead.host.frozen = w.now + time.Minute
		took, ok := w.until(3*time.Second, func() bool {
			for _, n := range members {
				if n != dead && n.m.head() == dead.m.self.ID {
					return false
				}
			}
			return heir.m.owns(dead.m.self.ID)
		})
		if !ok {
			w.failf("a silent machine is still in place")
		}
		worst = max(worst, took)
		w.run(time.Minute)
		w.mustHeal(10*time.Second, "the machine woke up")
	}
	t.Logf("routed around within %v", worst)
}

// Rings parted by a split become one again, whatever the split looked like.
func TestPartitionsHeal(t *testing.T) {
	var worst time.Duration
	for _, seed := range simSeeds(t, 40) {
		w := settled(t, seed, 4, 24, 1)
		sides := 2 + w.rng.IntN(2)
		for _, h := range w.hosts {
			h.side = w.rng.IntN(sides)
		}
		w.run(time.Minute)
		for _, h := range w.hosts {
			h.side = 0
		}
		worst = max(worst, w.mustHeal(30*time.Second, "split"))
	}
	t.Logf("healed within %v", worst)
}

// In a large ring each position seldom tries reunion: the ring as a whole, and the few
// of a small part, often enough.
func TestPartitionsOfALargeRingHeal(t *testing.T) {
	var worst time.Duration
	for _, seed := range simSeeds(t, 8) {
		w := settled(t, seed, 4, 200, 1)
		few := []int{1, 2, 5, 100}[seed%4]
		for _, h := range w.hosts[:few] {
			h.side = 1
		}
		w.run(time.Minute)
		for _, h := range w.hosts {
			h.side = 0
		}
		worst = max(worst, w.mustHeal(30*time.Second, fmt.Sprint("split of ", few)))
	}
	t.Logf("healed within %v", worst)
}

// Without reunion none of them heals.
func TestPartitionsStayWithoutReunion(t *testing.T) {
	healed := 0
	for seed := uint64(1); seed <= 10; seed++ {
		w := newWorld(t, seed, 4)
		w.breaks.noReunion = true
		for range 24 {
			w.newHost(1)
		}
		w.ideal(w.hosts...)
		for i, h := range w.hosts {
			h.side = i % 2
		}
		w.run(time.Minute)
		for _, h := range w.hosts {
			h.side = 0
		}
		if _, ok := w.until(30*time.Second, w.perfect); ok {
			healed++
		}
	}
	assert.Zero(t, healed, "the simulation does not show what reunion is for")
}

// All machines start at once, as after a power cut, knowing all the others.
func TestColdStart(t *testing.T) {
	var worst time.Duration
	for _, seed := range simSeeds(t, 3) {
		w := newWorld(t, seed, 8)
		var all []Peer
		for range 60 {
			all = append(all, w.newHost(1).nodes[0].m.self)
		}
		for _, h := range w.hosts {
			w.start(h, all...)
		}
		worst = max(worst, w.mustHeal(time.Minute, "cold start"))
	}
	t.Logf("ideal within %v", worst)
}

// Machines that were alone and found each other at one instant may make a ring that
// goes round twice, in which each has a successor and a predecessor that agree with
// it. In a small one all are neighbours, so that reunion asks nobody.
func TestARingThatGoesRoundTwice(t *testing.T) {
	for _, size := range []int{3, 5, 7, 15} {
		w := settled(t, 1, 8, size, 1)
		members := w.members()
		at := func(i int) *Peer { return &members[(i+size)%size].m.self }
		for i, n := range members {
			n.m.pred, n.m.list = at(i-2), nil
			for k := 2; len(n.m.list) < 8 && k < 2*size; k += 2 {
				n.m.list = append(n.m.list, *at(i + k))
			}
			n.m.list = successorList(n.m.self, 8, n.m.list)
		}
		require.Error(t, w.imperfection())
		t.Logf("%d machines: in order after %v", size, w.mustHeal(10*time.Second, "round twice"))
	}
}

// Machines with several positions die and come back whole; lists name so many
// machines, not positions.
func TestVirtualPositions(t *testing.T) {
	for _, seed := range simSeeds(t, 5) {
		w := settled(t, seed, 4, 12, 4)
		for _, n := range w.members() {
			assert.GreaterOrEqual(t, machinesIn(n.m.self, n.m.list), 4)
		}
		var down []*host
		for _, i := range w.rng.Perm(len(w.hosts))[:3] {
			down = append(down, w.hosts[i])
			w.crash(w.hosts[i])
		}
		w.mustHeal(20*time.Second, "three machines died")
		for _, h := range down {
			w.start(h)
		}
		w.mustHeal(20*time.Second, "they came back with the same positions")
		w.leave(down[0])
		w.run(time.Second)
		w.mustHeal(10*time.Second, "one left")
	}
}

// A machine restarts before anybody noticed that it was gone.
func TestRestartWithTheSamePosition(t *testing.T) {
	for _, seed := range simSeeds(t, 20) {
		w := settled(t, seed, 4, 10, 1)
		h := w.hosts[w.rng.IntN(len(w.hosts))]
		w.crash(h)
		w.run(time.Duration(w.rng.Int64N(int64(2 * time.Second))))
		w.start(h)
		w.run(100 * time.Millisecond)
		w.mustHeal(15*time.Second, "restart")
	}
}

// After a farewell no time-out is needed: the gap is closed in a few exchanges.
func TestLeaveIsNoticedAtOnce(t *testing.T) {
	for _, seed := range simSeeds(t, 20) {
		w := settled(t, seed, 4, 10, 1)
		members := w.members()
		i := w.rng.IntN(len(members))
		gone, heir := members[i], members[(i+1)%len(members)]
		pred := members[(i+len(members)-1)%len(members)]
		w.leave(gone.host)
		w.run(240 * time.Millisecond) // four messages
		if pred.m.head() != heir.m.self.ID || !heir.m.owns(gone.m.self.ID) {
			w.failf("neighbours have not closed the gap")
		}
		w.mustHeal(10*time.Second, "leave")
	}
}

// The last two of a ring: one dies and the other owns everything.
func TestLastOneIsAlone(t *testing.T) {
	w := settled(t, 1, 4, 2, 1)
	w.crash(w.hosts[0])
	w.mustHeal(5*time.Second, "one of two died")
	assert.True(t, w.hosts[1].nodes[0].m.owns(KeyOf("anything")))
	w.start(w.hosts[0])
	w.run(100 * time.Millisecond)
	w.mustHeal(5*time.Second, "it came back")
}

// Loss makes live machines look dead for a while; once it ends all is well.
func TestLossAndChurnEnd(t *testing.T) {
	for _, seed := range simSeeds(t, 8) {
		w := settled(t, seed, 4, 20, 1)
		w.loss = 0.15
		for range 20 {
			h := w.hosts[w.rng.IntN(len(w.hosts))]
			switch {
			case !h.up:
				w.start(h)
			case w.rng.IntN(3) == 0:
				h.frozen = w.now + time.Duration(w.rng.Int64N(int64(20*time.Second)))
			default:
				w.crash(h)
			}
			w.run(time.Duration(w.rng.Int64N(int64(4 * time.Second))))
		}
		w.loss = 0
		w.run(20 * time.Second) // the frozen wake
		w.mustHeal(30*time.Second, "loss and churn")
	}
}

// One machine's messages to its successor are lost, all others arrive. Nobody's
// range goes back and forth.
func TestOneWayLossDoesNotFlap(t *testing.T) {
	for _, seed := range simSeeds(t, 5) {
		w := settled(t, seed, 4, 8, 1)
		members := w.members()
		a, b := members[2], members[3]
		w.cut = func(from, to *host) bool { return from == a.host && to == b.host }
		w.run(5 * time.Second)
		key := b.m.self.ID
		for range 60 {
			w.run(time.Second)
			for _, n := range members {
				if n.m.owns(key) != (n == b) {
					w.failf("%s owns=%v what %s should", n.m.self.ID.Short(), n.m.owns(key), key.Short())
				}
			}
		}
		w.cut = nil
		w.mustHeal(10*time.Second, "one-way loss")
	}
}

// A ring at rest costs each position little more than one call a round.
func TestQuietRingCostsLittle(t *testing.T) {
	w := settled(t, 1, 8, 8, 1)
	w.run(time.Minute)
	w.sent = 0
	w.run(100 * simTick)
	perTick := float64(w.sent) / 100 / 8
	t.Logf("%.2f calls per position and round", perTick)
	assert.Less(t, perTick, 1.5)
}
