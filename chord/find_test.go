package chord

import (
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// find runs one search from n with the others' present state, without time.
// The owner is nil if it was not found.
func (w *world) find(n *node, key ID) (owner *node, hops int) {
	if n.m.owns(key) {
		return n, 0
	}
	s := newSearch(key, 1, n.m.self.ID)
	likely, closer := n.m.leads(key)
	s.add(likely, true)
	s.add(closer, false)
	for !s.ended() {
		p, ok := s.next()
		if !ok {
			break
		}
		hops++
		if to := w.byID[p.ID]; w.isMember(to) {
			s.answer(to.m.find(key))
		} else {
			s.fail()
		}
	}
	if s.owner == nil {
		return nil, hops
	}
	return w.byID[s.owner.From.ID], hops
}

// Every lookup ends at the first member at or after the key, in O(log n) hops.
func TestLookupsAgreeWithTheOracle(t *testing.T) {
	w := settled(t, 1, 8, 256, 1)
	w.run(30 * time.Second) // fingers
	members := w.members()
	total, most := 0, 0
	const lookups = 2000
	for range lookups {
		key := w.randomID()
		owner, hops := w.find(members[w.rng.IntN(len(members))], key)
		require.Same(t, w.oracle(key), owner, "key %s", key)
		total += hops
		most = max(most, hops)
	}
	log := math.Log2(float64(len(members)))
	t.Logf("%.2f hops on average, %d at most, among %d", float64(total)/lookups, most, len(members))
	assert.Less(t, float64(total)/lookups, log/2+1)
	assert.Less(t, float64(most), log+2)
}

// oracle returns the first member at or after key.
func (w *world) oracle(key ID) *node {
	members := w.members()
	i, _ := slices.BinarySearchFunc(members, key, func(n *node, key ID) int { return n.m.self.ID.Compare(key) })
	return members[i%len(members)]
}

// Machines crash and come back at random; lookups, tried again for some seconds
// as Ring.Lookup does, find the right owner. HOURS makes it last longer than
// three minutes.
func TestLookupsUnderChurn(t *testing.T) {
	seconds := 3 * 60
	if s := os.Getenv("HOURS"); s != "" {
		hours, err := strconv.ParseFloat(s, 64)
		require.NoError(t, err, "HOURS")
		seconds = int(hours * 3600)
	}
	for _, c := range []struct {
		median  time.Duration // of a session
		atLeast float64       // of the lookups right
	}{{84 * time.Second, 0.99}, {10 * time.Minute, 0.999}, {time.Hour, 0.9999}} {
		t.Run("median session "+c.median.String(), func(t *testing.T) {
			w := settled(t, 1, 8, 100, 1)
			for _, h := range w.hosts[1:] {
				w.churn(h, time.Duration(float64(c.median)/math.Ln2))
			}
			asked, right := 0, 0
			for range seconds {
				w.run(time.Second)
				members := w.members()
				for range 10 {
					asked++
					w.lookUntilFound(members[w.rng.IntN(len(members))], w.randomID(), 12, func() { right++ })
				}
			}
			w.run(10 * time.Second)
			t.Logf("%d of %d lookups right", right, asked)
			assert.GreaterOrEqual(t, float64(right), c.atLeast*float64(asked))
		})
	}
}

// churn has a machine crash, after a session of that mean length, and come back
// some seconds later, again and again.
func (w *world) churn(h *host, mean time.Duration) {
	w.after(time.Duration(w.rng.ExpFloat64()*float64(mean)), func() {
		w.crash(h)
		w.after(time.Second+time.Duration(w.rng.Int64N(int64(20*time.Second))), func() {
			w.start(h)
			w.churn(h, mean)
		})
	})
}

// lookUntilFound tries every half second, as often as told, until somebody says
// that the key is its own, and calls right if it should. An asker that crashes
// has no complaint.
func (w *world) lookUntilFound(n *node, key ID, tries int, right func()) {
	if !w.isMember(n) {
		right()
		return
	}
	owner, _ := w.find(n, key)
	switch {
	case owner != nil && owner == w.oracle(key):
		right()
	case owner == nil && tries > 1:
		w.after(500*time.Millisecond, func() { w.lookUntilFound(n, key, tries-1, right) })
	}
}
