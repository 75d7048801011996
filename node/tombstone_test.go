package node_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// monthsInMinutes has the months of tombstones pass within minutes.
var monthsInMinutes = node.Timing{
	Retention: 15 * time.Minute, Away: 10 * time.Minute, Collect: time.Minute,
	RepairEvery: 20 * time.Second, DropAfter: time.Minute,
}

// remembers reports whether a member's table has a register of a name.
func remembers(t *testing.T, m *ringtest.Member, name string) bool {
	t.Helper()
	reg, err := m.Register(name)
	require.NoError(t, err)
	return reg.Record != nil
}

// nobodyRemembers reports whether no member that runs has a register of a name.
func nobodyRemembers(t *testing.T, r *ringtest.Ring, name string) bool {
	return !slices.ContainsFunc(r.Up(), func(m *ringtest.Member) bool { return remembers(t, m, name) })
}

func TestTombstonesAreForgottenInTheEnd(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Timing: monthsInMinutes}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(12)
		r.Join() // so that some machine has voted on some name once
		r.Whole(time.Minute)
		for _, name := range names[:8] {
			r.Delete(r.Members[0], name)
		}
		time.Sleep(13 * time.Minute)
		for _, name := range names[:8] {
			for _, m := range groupOf(t, r, name) {
				require.True(t, remembers(t, m, name), "a tombstone is kept for as long as it takes")
			}
		}
		r.Eventually(20*time.Minute, "nobody remembers what was deleted", func() bool {
			return !slices.ContainsFunc(names[:8], func(name string) bool { return !nobodyRemembers(t, r, name) })
		})
		r.Eventually(2*time.Minute, "who votes no more does not remember what is kept", func() bool {
			return !slices.ContainsFunc(names[8:], func(name string) bool {
				keepers := groupOf(t, r, name)
				return slices.ContainsFunc(r.Members, func(m *ringtest.Member) bool {
					return slices.Contains(keepers, m) != remembers(t, m, name)
				})
			})
		})
		time.Sleep(10 * time.Minute)
		for _, name := range names[:8] {
			assert.True(t, nobodyRemembers(t, r, name), "nor does it come back")
		}
		for i, name := range names[:4] { // a name is as good as new
			r.Store(r.Members[i], name, []byte("again"), node.StoreOptions{})
		}
		r.Whole(time.Minute)
	})
}

// A machine that ceases to vote on a name when it is deleted already remembers it no
// longer than the others.
func TestATombstoneOfAMachineThatVotesNoMore(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Timing: monthsInMinutes}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(12)
		for _, name := range names {
			r.Delete(r.Members[0], name)
		}
		deleted := time.Now()
		time.Sleep(10 * time.Minute)
		r.Join()
		ceased := func() bool {
			return slices.ContainsFunc(names, func(name string) bool {
				keepers := groupOf(t, r, name)
				return slices.ContainsFunc(r.Members, func(m *ringtest.Member) bool {
					return remembers(t, m, name) && !slices.Contains(keepers, m)
				})
			})
		}
		r.Eventually(2*time.Minute, "some machine has ceased to vote on some name", ceased)
		r.Eventually(20*time.Minute-time.Since(deleted), "nobody remembers what was deleted", func() bool {
			return !slices.ContainsFunc(names, func(name string) bool { return !nobodyRemembers(t, r, name) })
		})
	})
}

// A tombstone stays as long as one of its voters does not have it, and no voter
// that was told to forget it is given it back.
func TestATombstoneWaitsForAllVoters(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Timing: monthsInMinutes}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("x"), node.StoreOptions{})
		away := r.Members[2]
		time.Sleep(5 * time.Minute)
		r.Crash(away)
		r.Delete(r.Members[0], "file")
		time.Sleep(5 * time.Minute)
		r.Start(away) // before it is away for too long
		r.Ready(away)
		time.Sleep(time.Minute)
		require.True(t, remembers(t, away, "file"))
		r.Crash(away)
		time.Sleep(9 * time.Minute)
		time.Sleep(5 * time.Minute)
		for _, m := range r.Up() {
			require.True(t, remembers(t, m, "file"), "one of its voters does not answer")
		}
		r.Start(away)
		r.Ready(away)
		r.Eventually(10*time.Minute, "all have forgotten", func() bool { return nobodyRemembers(t, r, "file") })
	})
}

// A voter dies when some have been told to forget.
func TestACrashWhileForgetting(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Timing: monthsInMinutes}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("x"), node.StoreOptions{})
		r.Delete(r.Members[0], "file")
		time.Sleep(10 * time.Minute)
		victim := r.Members[1]
		kept, err := victim.Register("file")
		require.NoError(t, err)
		r.Eventually(20*time.Minute, "all have forgotten", func() bool { return nobodyRemembers(t, r, "file") })
		// What it has on its disk after the crash is as if it had not been told.
		require.NoError(t, victim.Restore("file", kept))
		r.Crash(victim)
		r.Start(victim)
		r.Ready(victim)
		time.Sleep(30 * time.Second)
		for _, m := range r.Others(victim) {
			require.False(t, remembers(t, m, "file"), "it is not given back")
		}
		r.Eventually(10*time.Minute, "it forgets too", func() bool { return nobodyRemembers(t, r, "file") })
		for _, m := range r.Members {
			r.CheckName(m, "file", nil)
		}
	})
}
