package node_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// apart is a name whose group has not got a member, and that would not come to it.
func apart(t *testing.T, r *ringtest.Ring, from *ringtest.Member) string {
	t.Helper()
	for i := range 100 {
		name := fmt.Sprint("file ", i)
		if !slices.Contains(groupOf(t, r, name), from) && beyond(t, r, name) != from {
			return name
		}
	}
	t.Fatal("no name is kept elsewhere")
	return ""
}

// giveUp forgets machines that do not come back. The founder has to run.
func giveUp(t *testing.T, r *ringtest.Ring, gone ...*ringtest.Member) {
	t.Helper()
	for _, m := range gone {
		require.NoError(t, r.Members[0].Forget(t.Context(), m.Membership.Machine(), false))
	}
}

// unconfirmed checks that every member that runs fetches this, and says that nobody
// has confirmed it.
func unconfirmed(t *testing.T, r *ringtest.Ring, name string, content []byte) {
	t.Helper()
	for _, m := range r.Up() {
		got, f, err := ringtest.Fetch(t.Context(), m, name, node.FetchOptions{})
		require.NoError(t, err, m.Host)
		assert.True(t, bytes.Equal(content, got), m.Host)
		assert.False(t, f.Confirmed)
		_, err = m.Store(t.Context(), name, readerOf("new"), replace)
		require.ErrorIs(t, err, node.ErrUnavailable, m.Host)
	}
}

// All voters are gone for good. What was kept beyond them is fetched at once,
// unconfirmed, and can be changed once they have been given up.
func TestCopiesBeyondTheVotersOutliveThem(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, filestore.ChunkSize+1)
		name := apart(t, r, r.Members[0])
		r.Store(r.Members[0], name, content, node.StoreOptions{Replicas: 5})
		voters := groupOf(t, r, name)
		r.Lose(voters...)
		require.Len(t, having(r, name), 2)
		unconfirmed(t, r, name, content)
		time.Sleep(5 * time.Minute)
		unconfirmed(t, r, name, content)
		giveUp(t, r, voters...)
		forced(t, r, name, 3*time.Minute)
		r.Whole(3 * time.Minute)
		r.Store(r.Up()[0], name, []byte("new"), replace)
	})
}

// strayOf makes a machine keep a copy of a name as one that a move has left behind:
// one that is not among those to keep it when its voters are gone.
func strayOf(t *testing.T, r *ringtest.Ring, name string) (stray *ringtest.Member, voters []*ringtest.Member) {
	t.Helper()
	voters = groupOf(t, r, name)
	reg, err := voters[0].Register(name)
	require.NoError(t, err)
	stray = beyond(t, r, name)
	require.NoError(t, voters[0].Keep(t.Context(), stray.Membership.Machine(), *reg.Record, reg.Accepted))
	return stray, voters
}

// beyond is the last member that a name would come to.
func beyond(t *testing.T, r *ringtest.Ring, name string) *ringtest.Member {
	t.Helper()
	r.Settled()
	order := groupOf(t, r, name)[0].Fingers()[0].Successors
	return r.Member(order[len(order)-1].Machine)
}

// A copy that was left behind by a move, far from where its name belongs, is the only
// one when all voters are given up, and is found whether its machine is there then or
// comes back later. Where the name has been stored anew by then, both are kept.
func TestAStrayOutlivesTheVoters(t *testing.T) {
	for _, when := range []string{"there", "away", "away, and the name is stored anew"} {
		t.Run(when, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 7}, func(t *testing.T, r *ringtest.Ring) {
				name := apart(t, r, r.Members[0])
				r.Store(r.Members[0], name, []byte("content"), node.StoreOptions{})
				stray, voters := strayOf(t, r, name)
				contents := []string{"content"}
				if when != "there" {
					r.Crash(stray)
				}
				r.Lose(voters...)
				time.Sleep(2 * time.Minute)
				giveUp(t, r, voters...)
				if when != "there" {
					time.Sleep(10 * time.Minute)
					_, err := r.Members[0].Stat(t.Context(), name)
					require.Error(t, err)
				}
				if when == "away, and the name is stored anew" {
					_, err := r.Members[0].Store(t.Context(), name, readerOf("new"), node.StoreOptions{})
					require.NoError(t, err)
					contents = append(contents, "new")
				}
				if when != "there" {
					r.Start(stray)
				}
				settled(r)
				bothKept(t, r, name, contents...)
				r.Whole(time.Minute)
			})
		})
	}
}

// What somebody without a vote has kept may be far older than what the voters have,
// who are only away, for however long: it is not taken over. Nor is it when they
// come back without their tables, or only some of them do.
func TestAStrayWaitsForTheVoters(t *testing.T) {
	for _, how := range []string{"changed", "deleted", "without tables", "one without a table", "for months"} {
		t.Run(how, func(t *testing.T) {
			var timing node.Timing
			if how == "for months" {
				timing = monthsInMinutes
				timing.DropAfter = 0
			}
			ringtest.Test(t, ringtest.Options{Nodes: 7, Timing: timing}, func(t *testing.T, r *ringtest.Ring) {
				r.Store(r.Members[0], "file", []byte("old"), node.StoreOptions{})
				stray, voters := strayOf(t, r, "file")
				changes := 3
				if how == "changed" || how == "deleted" {
					changes = filestore.HistoryLen + 2 // the old version is remembered no more
				}
				last := ""
				for i := range changes {
					last = fmt.Sprint("newer ", i)
					r.Store(voters[0], "file", []byte(last), replace)
				}
				r.Whole(3 * time.Minute)
				if how == "deleted" {
					r.Delete(voters[0], "file")
				}
				for _, m := range voters {
					r.Stop(m)
				}
				time.Sleep(12 * time.Minute)
				_, f, err := ringtest.Fetch(t.Context(), stray, "file", node.FetchOptions{})
				if err == nil {
					assert.False(t, f.Confirmed)
				}
				for i, m := range voters {
					if how == "without tables" || how == "one without a table" && i == 0 {
						m.Disk.LoseTable()
					}
					if how == "one without a table" && i == 2 {
						continue // it comes later
					}
					r.Start(m)
				}
				if how == "one without a table" {
					time.Sleep(5 * time.Minute)
					r.Start(voters[2])
				}
				settled(r)
				for _, m := range r.Up() {
					if how == "deleted" {
						r.CheckName(m, "file", nil)
					} else {
						assert.Equal(t, map[string]string{"file": last}, versionsOf(t, m, "file"), m.Host)
					}
				}
			})
		})
	}
}

// The one voter that is left missed the last change, which copies beyond the voters have.
func TestAStaleVoterHidesNothing(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 8}, func(t *testing.T, r *ringtest.Ring) {
		ctx := t.Context()
		r.Store(r.Members[0], "file", []byte("old"), node.StoreOptions{Replicas: 5})
		time.Sleep(time.Minute)
		voters := groupOf(t, r, "file")
		r.Crash(voters[2])
		_, err := voters[0].Store(ctx, "file", readerOf("newer"), node.StoreOptions{IfExists: node.Replace, Replicas: 5})
		require.ErrorIs(t, err, node.ErrTooFew) // the voter's copy is missing
		r.Acknowledged("file", []byte("newer"))
		r.Crash(voters[:2]...)
		r.Start(voters[2])
		for _, m := range r.Up() {
			b, f, err := ringtest.Fetch(ctx, m, "file", node.FetchOptions{})
			require.NoError(t, err)
			if string(b) == "old" {
				assert.False(t, f.Confirmed)
			}
		}
		forced(t, r, "file", 5*time.Minute)
		for _, m := range r.Up() {
			r.CheckName(m, "file", []byte("newer"))
		}
	})
}

// A member can take a name away by rounds that look like any other, to voters of its
// own choice. Those who had it have it still, serve it, and take it over: at once where
// there are no such machines, else when that member is shut out.
func TestANameThatWasTakenAwayComesBack(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		ctx := t.Context()
		name, evil := "", (*ringtest.Member)(nil)
		for i := 0; evil == nil || evil == r.Members[0]; i++ {
			name = fmt.Sprint("file ", i)
			evil = beyond(t, r, name)
		}
		r.Store(r.Members[0], name, []byte("content"), node.StoreOptions{})
		voters := groupOf(t, r, name)
		for _, to := range [][]node.MachineID{{{1}, {2}, {3}}, {evil.Membership.Machine()}} {
			reg, err := voters[0].Register(name)
			require.NoError(t, err)
			view := register.ViewOf(reg.Record, reg.Accepted)
			for i, v := range []filestore.Voters{{Old: reg.Record.Voters.New, New: to}, {New: to}} {
				at := filestore.Ballot{Counter: uint64(time.Now().UnixMicro()) + uint64(i), Machine: evil.Membership.Machine()}
				rec := *reg.Record
				rec.Voters = v
				for _, m := range voters {
					a, err := evil.Prepare(ctx, m.Membership.Machine(), register.Prepare{Name: name, Ballot: at, View: view})
					require.NoError(t, err)
					require.Equal(t, register.OK, a.Status)
					a, err = evil.Accept(ctx, m.Membership.Machine(), register.Accept{Ballot: at, View: view, Record: rec})
					require.NoError(t, err)
					require.Equal(t, register.OK, a.Status)
				}
				view = register.ViewOf(&rec, at)
			}
			got, f, err := ringtest.Fetch(ctx, r.Members[0], name, node.FetchOptions{})
			require.NoError(t, err)
			assert.Equal(t, "content", string(got))
			assert.False(t, f.Confirmed)
			if to[0] == evil.Membership.Machine() {
				_, err := r.Members[0].Revoke(ctx, evil.Membership.Machine(), false)
				require.NoError(t, err)
				require.ErrorIs(t, r.EndedWith(evil), trust.ErrRevoked)
			}
			forced(t, r, name, 5*time.Minute)
			r.Whole(5 * time.Minute)
		}
	})
}

// All files are left at one machine, whose table is lost and made anew from them: those
// who join then do not take its doubts for a sign that there is nothing.
func TestTheLastCopiesAreInDoubt(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(4)
		r.Whole(time.Minute)
		time.Sleep(2 * time.Minute)
		last, others := r.Members[0], r.Members[1:]
		r.Crash(last)
		last.Disk.LoseTable()
		r.Lose(others...)
		r.Start(last)
		for _, name := range names {
			reg, err := last.Register(name)
			require.NoError(t, err)
			require.False(t, reg.Accepted.IsZero(), "the file says under which ballot it was accepted")
		}
		for range 30 {
			time.Sleep(5 * time.Second)
			require.False(t, last.SaysWithout())
		}
		giveUp(t, r, others...)
		r.JoinAtOnce(2)
		r.Whole(5 * time.Minute)
	})
}
