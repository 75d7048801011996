package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/register"
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
		time.Sleep(2 * time.Minute) // all files are durable, and none is made anew by a start
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
	ringtest.Test(t, ringtest.Options{Nodes: 1}, func(_ *testing.T, r *ringtest.Ring) {
		r.StoreMany(3)
		r.Crash(r.Members[0])
		time.Sleep(100 * 24 * time.Hour)
		r.Start(r.Members[0])
		r.Ready(r.Members[0])
	})
}

// A machine's table is lost: what can be made anew from its files may be old, and
// what it promised, deleted and knew is gone. It must not count before it has
// been compared.
func TestALostTableMakesNothingOld(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(20)
		r.Whole(time.Minute)
		victim, behind := r.Members[2], r.Members[3]
		by := r.Members[0]
		r.Crash(behind) // it misses what follows: with it an old table would be a majority
		for _, name := range names[:5] {
			r.Delete(by, name)
		}
		for _, name := range names[5:10] {
			r.Store(by, name, []byte("newer"), node.StoreOptions{IfExists: node.Replace})
		}
		r.Crash(victim)
		victim.Disk.LoseTable()
		before := staged(r.Members)
		r.Start(victim)
		r.Start(behind)
		for range 20 { // from its first moment on
			for _, m := range r.Up() {
				for i, name := range names {
					got, f, err := ringtest.Fetch(t.Context(), m, name, node.FetchOptions{})
					switch {
					case err != nil && i >= 5:
						require.NotErrorIs(t, err, node.ErrNotFound, "%s at %s", name, m.Host)
					case i < 5 && err == nil:
						require.False(t, f.Confirmed, "%s was deleted", name)
					case i < 10 && err == nil && f.Confirmed:
						require.Equal(t, "newer", string(got))
					}
				}
			}
			time.Sleep(500 * time.Millisecond)
		}
		r.Ready(victim, behind)
		r.Whole(3 * time.Minute)
		require.LessOrEqual(t, staged(r.Members)-before, 15, "copies made: of new versions only")
	})
}

// A voter that has lost its table holds to what it promised before: a round that another
// coordinator has promises for is not passed by one that began earlier.
func TestALostTableKeepsItsPromises(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		by, victim := r.Members[0], r.Members[1]
		r.Store(by, "name", []byte("first"), node.StoreOptions{})
		r.Store(by, "other", []byte("first"), node.StoreOptions{})
		r.Whole(time.Minute)
		reg, err := victim.Register("name")
		require.NoError(t, err)
		view := register.ViewOf(reg.Record, reg.Accepted)
		now := uint64(time.Now().UnixMicro())
		earlier := register.Prepare{Name: "name", View: view, Ballot: filestore.Ballot{Counter: now + 10, Machine: by.Membership.Machine()}}
		later := earlier
		later.Ballot = filestore.Ballot{Counter: now + 20_000_000, Machine: r.Members[2].Membership.Machine()} // of a clock that is ahead
		a, err := r.Members[2].Prepare(t.Context(), victim.Membership.Machine(), later)
		require.NoError(t, err)
		require.Equal(t, register.OK, a.Status)
		r.Crash(victim)
		victim.Disk.LoseTable()
		r.Start(victim)
		r.Ready(victim)
		r.Whole(3 * time.Minute) // it has no doubts any more
		for _, name := range []string{"name", "never stored"} {
			earlier.Name = name
			if name != "name" {
				earlier.View = register.View{Voters: view.Voters}
			}
			a, err = by.Prepare(t.Context(), victim.Membership.Machine(), earlier)
			require.NoError(t, err)
			assert.Equal(t, register.Outbid, a.Status, name)
			assert.Greater(t, a.Promised.Counter, later.Ballot.Counter)
		}
		for _, name := range []string{"name", "other"} { // nobody else notices for long
			r.Store(by, name, []byte("second"), node.StoreOptions{IfExists: node.Replace})
		}
		r.Whole(time.Minute)
		before := r.Store(by, "other", []byte("third"), node.StoreOptions{IfExists: node.Replace, Replicas: 3})
		assert.Equal(t, 3, before.Copies)
		for i := range 10 {
			r.Store(r.Members[i%3], fmt.Sprint("new ", i), []byte("new"), node.StoreOptions{})
		}
	})
}

// All tables are lost: what the files say is believed after a while.
func TestAllTablesLost(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(_ *testing.T, r *ringtest.Ring) {
		r.StoreMany(10)
		r.Whole(time.Minute)
		for _, m := range r.Members {
			r.Stop(m)
			m.Disk.LoseTable()
		}
		for _, m := range r.Members {
			r.Start(m)
		}
		r.Ready(r.Members...)
		r.Whole(10 * time.Minute)
	})
}

// Most of a ring was away for long, and so nothing has happened meanwhile.
func TestTheMajorityWasAwayForLong(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Timing: monthsInMinutes}, func(_ *testing.T, r *ringtest.Ring) {
		r.StoreMany(10)
		r.Whole(time.Minute)
		r.Crash(r.Members[1:]...)
		time.Sleep(30 * time.Minute)
		r.Start(r.Members[1])
		r.Start(r.Members[2])
		r.Ready(r.Members...)
		r.Whole(3 * time.Minute)
	})
}

// A machine that was away for long hears of it, and is cut off before it has asked about a
// file that was deleted and whose other voters have been given up. That it is alone then
// vouches for nothing.
func TestNobodyVouchesForOneThatIsCutOff(t *testing.T) {
	for _, heard := range []time.Duration{100 * time.Millisecond, 150 * time.Millisecond} {
		ringtest.Test(t, ringtest.Options{Nodes: 7, Timing: monthsInMinutes, Delay: 5 * time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
			name := apart(t, r, r.Members[0])
			r.Store(r.Members[0], name, []byte("content"), node.StoreOptions{})
			r.Whole(time.Minute)
			time.Sleep(time.Minute)
			voters := groupOf(t, r, name)
			away := voters[0]
			r.Crash(away)
			r.Delete(r.Members[0], name)
			for _, m := range voters[1:] { // one after the other: those who come to its group are told
				r.Lose(m)
				time.Sleep(time.Minute)
				giveUp(t, r, m)
				time.Sleep(3 * time.Minute)
			}
			time.Sleep(25 * time.Minute)
			require.True(t, nobodyRemembers(t, r, name), "it is forgotten")
			r.Start(away)
			time.Sleep(heard)
			var others []string
			for _, m := range r.Others(away) {
				others = append(others, m.Host)
			}
			r.Net.Partition([]string{away.Host}, others)
			time.Sleep(10 * time.Minute)
			r.Net.HealAll()
			time.Sleep(5 * time.Minute)
			assert.True(t, nobodyRemembers(t, r, name), "it came back")
			assert.False(t, away.Has(name))
		})
	}
}

// A name was taken over from an older version while the voters with the newer one were
// away for so long that they have doubts. What they have is no relic: it is the file.
func TestWhatWasTakenOverMeanwhile(t *testing.T) {
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprint("voters moved: ", moved), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 7, Timing: monthsInMinutes}, func(t *testing.T, r *ringtest.Ring) {
				r.Store(r.Members[0], "file", []byte("old"), node.StoreOptions{})
				time.Sleep(time.Minute)
				voters := groupOf(t, r, "file")
				for _, m := range r.Others(voters[2]) {
					r.Net.CutBoth(voters[2].Host, m.Host)
				}
				insist(t, time.Minute, func() error {
					_, err := voters[0].Store(t.Context(), "file", readerOf("newer"), replace)
					return err
				})
				r.Acknowledged("file", []byte("newer"))
				r.Crash(voters[:2]...)
				r.Net.HealAll()
				forced(t, r, "file", 3*time.Minute)
				time.Sleep(12 * time.Minute)
				back := voters[:2]
				if moved { // by machines that are between them and the name now
					r.JoinAtOnce(6)
				}
				for _, m := range back {
					r.Start(m)
				}
				r.Ready(back...)
				settled(r)
				bothKept(t, r, "file", "newer")
			})
		})
	}
}
