package node_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/register"
)

// All voters are gone for good. What was kept beyond them is fetched at once,
// unconfirmed, and can be changed once it has been taken over.
func TestCopiesBeyondTheVotersOutliveThem(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, filestore.ChunkSize+1)
		r.Store(r.Members[0], "file", content, node.StoreOptions{Replicas: 5})
		r.Lose(groupOf(t, r, "file")...)
		require.Len(t, having(r, "file"), 2)
		for _, m := range r.Up() {
			got, f, err := ringtest.Fetch(t.Context(), m, "file", node.FetchOptions{})
			require.NoError(t, err, m.Host)
			assert.Equal(t, content, got)
			assert.False(t, f.Confirmed)
			_, err = m.Store(t.Context(), "file", readerOf("new"), replace)
			require.ErrorIs(t, err, node.ErrUnavailable)
		}
		forced(t, r, "file", 3*time.Minute)
		r.Whole(3 * time.Minute)
		r.Store(r.Up()[0], "file", []byte("new"), replace)
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
// one when all voters are gone for good, and is found whether its machine is there
// then or comes back when the others have taken the name for not stored.
func TestAStrayOutlivesTheVoters(t *testing.T) {
	for what, away := range map[string]bool{"there": false, "away": true} {
		t.Run(what, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 7}, func(t *testing.T, r *ringtest.Ring) {
				r.Store(r.Members[0], "file", []byte("content"), node.StoreOptions{})
				stray, voters := strayOf(t, r, "file")
				if away {
					r.Crash(stray)
				}
				r.Lose(voters...)
				if away {
					time.Sleep(5 * time.Minute)
					_, err := r.Up()[0].Stat(t.Context(), "file")
					require.Error(t, err)
					r.Start(stray)
				}
				require.Equal(t, []*ringtest.Member{stray}, having(r, "file"))
				forced(t, r, "file", 5*time.Minute)
				r.Whole(3 * time.Minute)
				for _, m := range r.Up() {
					r.CheckName(m, "file", []byte("content"))
				}
			})
		})
	}
}

// What somebody without a vote has kept may be older than what the voters have, who
// are only away: when they come back, theirs is the file.
func TestTheVotersComeBackAfterAStray(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7}, func(t *testing.T, r *ringtest.Ring) {
		for _, name := range bubble.Some([]string{"kept", "deleted", "changed"}, 1) {
			r.Store(r.Members[0], name, []byte("old"), node.StoreOptions{})
			_, voters := strayOf(t, r, name)
			if name == "deleted" {
				r.Delete(voters[0], name)
			} else {
				r.Store(voters[0], name, []byte("newer"), replace)
			}
			r.Crash(voters...)
			forced(t, r, name, 5*time.Minute)
			contents := []string{"newer"}
			if name == "changed" {
				_, err := r.Up()[0].Store(t.Context(), name, readerOf("meanwhile"), replace)
				require.NoError(t, err)
				contents = append(contents, "meanwhile")
			}
			for _, m := range voters {
				r.Start(m)
			}
			settled(r)
			if name != "deleted" {
				bothKept(t, r, name, contents...)
				continue
			}
			for _, m := range r.Up() {
				r.CheckName(m, name, nil)
			}
		}
	})
}

// A member can take a name away by rounds that look like any other, to voters of its
// own choice. Those who had it have it still, and take it over.
func TestANameThatWasTakenAwayComesBack(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		ctx := t.Context()
		r.Store(r.Members[0], "file", []byte("content"), node.StoreOptions{})
		voters := groupOf(t, r, "file")
		evil := beyond(t, r, "file")
		for _, to := range [][]node.MachineID{{{1}, {2}, {3}}, {evil.Membership.Machine()}} {
			reg, err := voters[0].Register("file")
			require.NoError(t, err)
			view := register.ViewOf(reg.Record, reg.Accepted)
			for i, v := range []filestore.Voters{{Old: reg.Record.Voters.New, New: to}, {New: to}} {
				at := filestore.Ballot{Counter: uint64(time.Now().UnixMicro()) + uint64(i), Machine: evil.Membership.Machine()}
				rec := *reg.Record
				rec.Voters = v
				for _, m := range voters {
					a, err := evil.Prepare(ctx, m.Membership.Machine(), register.Prepare{Name: "file", Ballot: at, View: view})
					require.NoError(t, err)
					require.Equal(t, register.OK, a.Status)
					a, err = evil.Accept(ctx, m.Membership.Machine(), register.Accept{Ballot: at, View: view, Record: rec})
					require.NoError(t, err)
					require.Equal(t, register.OK, a.Status)
				}
				view = register.ViewOf(&rec, at)
			}
			got, f, err := ringtest.Fetch(ctx, r.Members[0], "file", node.FetchOptions{})
			require.NoError(t, err)
			assert.Equal(t, "content", string(got))
			assert.False(t, f.Confirmed)
			r.Eventually(5*time.Minute, "it is confirmed again", func() bool {
				f, err := r.Members[0].Stat(ctx, "file")
				return err == nil && f.Confirmed && !slices.Contains(f.Record.Voters.New, evil.Membership.Machine())
			})
			r.Whole(5 * time.Minute)
		}
	})
}
