package chord

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// simSeeds returns the seeds to run: DHTFS_SIM_SEED alone, or the first
// DHTFS_SIM_SEEDS of them, or the first few, and fewer for the race detector, which
// finds nothing in what has no goroutine.
func simSeeds(t testing.TB, few int) []uint64 {
	t.Helper()
	number := func(name string) (uint64, bool) {
		v := os.Getenv(name)
		if v == "" {
			return 0, false
		}
		n, err := strconv.ParseUint(v, 10, 64)
		require.NoError(t, err, name)
		return n, true
	}
	if seed, ok := number("DHTFS_SIM_SEED"); ok {
		return []uint64{seed}
	}
	n := uint64(bubble.Fewer(few))
	if many, ok := number("DHTFS_SIM_SEEDS"); ok {
		n = many
	}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	return seeds
}

// adversary takes machines away at the worst moments that the protocol is to
// survive: it never takes more than want-1 listed machines before the ring has
// had time to heal, but takes those whose loss hurts most.
type adversary struct {
	*world
	healing  time.Duration // what it grants the ring after a blow
	struck   time.Duration
	smallest int // members it leaves
	blows    int
}

// listed reports whether a list or an answer under way names a position.
func (a *adversary) listed(id ID) bool {
	for _, h := range a.hosts {
		for _, n := range h.nodes {
			if h.up && hasPeer(n.m.list, id) {
				return true
			}
		}
	}
	for reply := range a.flights {
		if reply.From.ID == id || hasPeer(reply.Successors, id) {
			return true
		}
	}
	return false
}

func (a *adversary) act() {
	members := a.members()
	if len(members) <= a.smallest+a.want {
		return
	}
	// Whoever nobody lists yet may vanish at any time: no list gets shorter.
	if n := members[a.rng.IntN(len(members))]; !n.host.base && a.rng.IntN(4) == 0 && !a.listed(n.m.self.ID) {
		a.crash(n.host)
		return
	}
	if a.now-a.struck < a.healing {
		return
	}
	// The victims are the successors of the member that has the fewest alive;
	// now and then of anybody.
	weak := a.liveSuccessors(members[a.rng.IntN(len(members))])
	for _, n := range members {
		if s := a.liveSuccessors(n); len(s) < len(weak) {
			weak = s
		}
	}
	if len(weak) >= a.want {
		if a.rng.IntN(100) != 0 {
			return
		}
		weak = weak[:a.want-1]
	}
	if slices.ContainsFunc(weak, func(n *node) bool { return n.host.base }) {
		return
	}
	a.struck = a.now
	a.blows++
	for _, n := range weak {
		if a.rng.IntN(4) == 0 {
			a.leave(n.host)
		} else {
			a.crash(n.host)
		}
	}
}

func (a *adversary) liveSuccessors(n *node) []*node {
	var live []*node
	for _, p := range n.m.list {
		if a.isLive(p) {
			live = append(live, a.byID[p.ID])
		}
	}
	return live
}

// siege runs one seeded history of joins, losses and farewells under the
// adversary and returns the first breach of an invariant.
func siege(t testing.TB, seed uint64, want int, broken breaks) (*adversary, error) {
	w := newWorld(t, seed, want)
	w.breaks = broken
	w.refuse = seed%2 == 0
	var hosts []*host
	for i := range 3*want + 4 {
		h := w.newHost(1)
		h.base = i <= want
		hosts = append(hosts, h)
	}
	w.ideal(hosts...)
	a := &adversary{world: w, healing: 10 * time.Second, struck: -5 * time.Second, smallest: 2 * want}
	var breach error
	w.step = func() {
		a.act()
		if breach == nil {
			breach = w.invariants()
		}
	}
	for w.now < time.Minute && breach == nil {
		if w.rng.IntN(2) == 0 && len(w.members()) < 5*want+10 {
			members := w.members()
			via := members[w.rng.IntN(len(members))]
			// One of the base too: who knows only dead peers rightly founds a ring.
			w.start(w.newHost(1), via.m.self, hosts[0].nodes[0].m.self)
		}
		w.run(time.Duration(w.rng.Int64N(int64(2 * time.Second))))
	}
	w.step = func() {
		if breach == nil {
			breach = w.invariants()
		}
	}
	if breach == nil {
		if _, ok := w.until(20*time.Second, w.perfect); !ok {
			breach = errors.Join(errors.New("not ideal 20 s after the last fault"), w.imperfection())
		}
	}
	return a, breach
}

// The invariants hold after every step, whatever the order of events, as long as
// no list loses all its machines before it was repaired.
func TestInvariantsHoldAtEveryStep(t *testing.T) {
	blows := 0
	for _, seed := range simSeeds(t, 50) {
		a, breach := siege(t, seed, 2+int(seed%3), breaks{})
		if breach != nil {
			a.failf("%v", breach)
		}
		blows += a.blows
	}
	t.Logf("%d blows survived", blows)
}

// Without one of these rules the simulation finds a breach.
func TestBrokenRulesAreCaught(t *testing.T) {
	for name, broken := range map[string]breaks{
		"adopt on hearsay":           {hearsay: true},
		"join copying one successor": {shortJoin: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 400; seed++ {
				if _, breach := siege(t, seed, 2+int(seed%3), broken); breach != nil {
					t.Logf("seed %d: %v", seed, breach)
					return
				}
			}
			t.Fatal("the simulation did not notice")
		})
	}
}
