package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// A machine comes back when what it missed has been forgotten: it must not bring
// back what was deleted, nor an old version, and what is still stored counts again.
func TestAMachineThatWasAwayForLong(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Timing: monthsInMinutes}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(12)
		r.Whole(time.Minute)
		time.Sleep(time.Minute)
		away := r.Members[2]
		r.Crash(away)
		by := r.Members[0]
		for _, name := range names[:4] {
			r.Delete(by, name)
		}
		for _, name := range names[4:8] {
			r.Store(by, name, []byte("a newer version of "+name), node.StoreOptions{IfExists: node.Replace})
		}
		time.Sleep(25 * time.Minute)
		for _, name := range names[:4] {
			require.True(t, nobodyRemembers(t, r, name), "%s is forgotten", name)
		}
		old := 0
		for _, name := range names[:4] {
			if away.Has(name) {
				old++
			}
		}
		require.Positive(t, old, "it holds some that were deleted")
		r.Start(away)
		for range 60 { // from its first moment on
			for _, m := range r.Up() {
				for _, name := range names[:4] {
					_, _, err := ringtest.Fetch(t.Context(), m, name, node.FetchOptions{})
					if m != away {
						require.ErrorIs(t, err, node.ErrNotFound, "%s at %s", name, m.Host)
					}
				}
			}
			time.Sleep(time.Second)
		}
		r.Ready(away)
		r.Whole(2 * time.Minute)
		for _, name := range names[:4] {
			assert.True(t, nobodyRemembers(t, r, name), "%s came back", name)
			assert.False(t, away.Has(name), "the space of %s is free again", name)
		}
		for _, name := range names[:4] {
			r.Store(away, name, []byte("again"), node.StoreOptions{})
		}
		r.Whole(time.Minute)
	})
}

// A ring that is switched off as a whole for longer than that has missed nothing.
func TestTheWholeRingWasAwayForLong(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4, Timing: monthsInMinutes}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(10)
		r.Delete(r.Members[0], names[0])
		r.Whole(time.Minute)
		before := staged(r.Members)
		r.Crash(r.Members...)
		time.Sleep(100 * 24 * time.Hour)
		for _, m := range r.Members {
			r.Start(m)
		}
		r.Ready(r.Members...)
		r.Whole(2 * time.Minute)
		assert.Equal(t, before, staged(r.Members), "copies made")
		kept := 0
		for _, m := range r.Members {
			if remembers(t, m, names[0]) {
				kept++
			}
		}
		assert.Equal(t, 3, kept, "a tombstone does not age while nobody runs")
	})
}

// A member that is alone for long and comes back alone gives out what it has.
func TestALoneMachineWasAwayForLong(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 1}, func(t *testing.T, r *ringtest.Ring) {
		r.StoreMany(3)
		r.Crash(r.Members[0])
		time.Sleep(100 * 24 * time.Hour)
		r.Start(r.Members[0])
		r.Ready(r.Members[0])
	})
}
