package node_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// admit lets a machine into the ring by an invite of a member's, and waits until
// it is in its place.
func admit(t *testing.T, r *ringtest.Ring, by *ringtest.Member) *ringtest.Member {
	t.Helper()
	m := r.AdmitBy(by)
	r.Start(m)
	r.Ready(m)
	return m
}

// lists reports whether all members that run know so many members.
func lists(r *ringtest.Ring, members int) func() bool {
	return func() bool {
		for _, m := range r.Up() {
			if m.Status(context.Background()).Members != members {
				return false
			}
		}
		return true
	}
}

// A ring that has lost its first machine, home and all, goes on: a member that was
// made an issuer lets others in, renews certificates, promotes, forgets and revokes.
func TestARingOutlivesItsFirstMachine(t *testing.T) {
	timing := node.Timing{Lifetime: 10 * time.Minute}
	ringtest.Test(t, ringtest.Options{Nodes: 4, Timing: timing}, func(t *testing.T, r *ringtest.Ring) {
		ctx := t.Context()
		first, second, third := r.Members[0], r.Members[1], r.Members[2]
		r.StoreMany(6)
		require.ErrorIs(t, third.Promote(ctx, second.Membership.Machine()), node.ErrNotIssuer)
		require.NoError(t, first.Promote(ctx, second.Membership.Machine()))
		r.Eventually(time.Minute, "it knows that it is an issuer", func() bool {
			_, err := second.Invites()
			return err == nil
		})
		r.Lose(first)

		newcomer := admit(t, r, second)
		require.ErrorIs(t, second.Forget(ctx, third.Membership.Machine(), false), node.ErrIsAlive)
		require.NoError(t, second.Forget(ctx, first.Membership.Machine(), false))
		r.Eventually(time.Minute, "all have forgotten it", lists(r, 4))
		r.Whole(5 * time.Minute)

		require.NoError(t, second.Promote(ctx, newcomer.Membership.Machine()))
		r.Eventually(time.Minute, "it is an issuer too", func() bool {
			_, err := newcomer.Invites()
			return err == nil
		})
		later := admit(t, r, newcomer)
		_, err := newcomer.Revoke(ctx, third.Membership.Machine(), false)
		require.NoError(t, err)
		require.ErrorIs(t, r.EndedWith(third), trust.ErrRevoked, "it says so itself")
		r.Eventually(time.Minute, "it is out everywhere", lists(r, 4))

		// The certificates of all but the first machine were made for ten minutes.
		time.Sleep(25 * time.Minute)
		for _, m := range r.Up() {
			assert.Empty(t, m.Status(ctx).Warnings, m.Host)
		}
		r.CheckName(later, "files/0001", []byte("content of files/0001"))
		r.Whole(5 * time.Minute)
	})
}

// A machine whose certificate has ended while it was away is certified anew.
func TestACertificateThatEndedIsRenewed(t *testing.T) {
	timing := node.Timing{Lifetime: 20 * time.Minute}
	ringtest.Test(t, ringtest.Options{Nodes: 3, Timing: timing}, func(t *testing.T, r *ringtest.Ring) {
		away := r.Members[2]
		r.Store(away, "name", []byte("content"), node.StoreOptions{})
		r.Stop(away)
		time.Sleep(30 * time.Minute)
		r.Start(away)
		r.Eventually(time.Minute, "it takes part again", func() bool {
			_, f, err := ringtest.Fetch(t.Context(), away, "name", node.FetchOptions{})
			return err == nil && f.Confirmed
		})
		r.Ready(away)
		assert.Empty(t, away.Status(t.Context()).Warnings)
	})
}

// Without an issuer the ring goes on until the certificates end, and says so.
func TestNobodyRenews(t *testing.T) {
	timing := node.Timing{Lifetime: 20 * time.Minute}
	ringtest.Test(t, ringtest.Options{Nodes: 4, Timing: timing}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[1], "name", []byte("content"), node.StoreOptions{})
		r.Crash(r.Members[0])
		time.Sleep(19 * time.Minute)
		for _, m := range r.Up() {
			r.CheckName(m, "name", []byte("content"))
			assert.Contains(t, m.Status(t.Context()).Warnings[0], "could not be renewed yet")
		}
		time.Sleep(2 * time.Minute)
		assert.Contains(t, r.Members[1].Status(t.Context()).Warnings[0], "certificate ended")
		r.Start(r.Members[0])
		r.Eventually(5*time.Minute, "all are renewed", func() bool {
			for _, m := range r.Up() {
				if len(m.Status(t.Context()).Warnings) > 0 {
					return false
				}
			}
			return true
		})
		r.Ready(r.Up()...)
		r.Whole(5 * time.Minute)
	})
}

// Those that a revoked issuer let in stay, or go with it, as the one who revokes
// says; it cannot let anybody in any more.
func TestRevokingAnIssuer(t *testing.T) {
	for name, withAdmitted := range map[string]bool{"they stay": false, "they go": true} {
		t.Run(name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
				ctx := t.Context()
				first, second := r.Members[0], r.Members[1]
				require.NoError(t, first.Promote(ctx, second.Membership.Machine()))
				r.Eventually(time.Minute, "an issuer", func() bool { _, err := second.Invites(); return err == nil })
				let := admit(t, r, second)
				r.Store(let, "name", []byte("content"), node.StoreOptions{})
				r.Eventually(time.Minute, "all know it", lists(r, 5))
				token, _, err := second.Invite(time.Hour, 1)
				require.NoError(t, err)

				got, err := first.Revoke(ctx, second.Membership.Machine(), withAdmitted)
				require.NoError(t, err)
				require.ErrorIs(t, r.EndedWith(second), trust.ErrRevoked)
				if withAdmitted {
					assert.Equal(t, []node.MachineID{let.Membership.Machine()}, got.Out)
					r.Eventually(time.Minute, "both are out", func() bool { return first.Status(ctx).Members == 3 })
					r.Stop(let)
					r.Forget("name") // most of those that kept it may be out
				} else {
					assert.Equal(t, []node.MachineID{let.Membership.Machine()}, got.Kept)
					r.Eventually(time.Minute, "one is out", lists(r, 4))
				}
				r.Whole(5 * time.Minute)
				_, err = node.Join(ctx, node.JoinOptions{Token: token, Label: "late", Dial: r.Net.Dialer("late")})
				require.Error(t, err, "nobody is let in by it any more")
			})
		})
	}
}

// An hour between the clocks locks nobody out and changes nothing: not who may do what,
// and not which of two changes is the later, though the tables of two of the machines, and
// so their ballots, were begun by such clocks.
func TestClocksAnHourApart(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		for i, skew := range []time.Duration{time.Hour, -time.Hour} {
			m := r.Members[i]
			r.Crash(m)
			m.Disk.LoseTable()
			m.Skew = skew
			r.Start(m)
			r.Ready(m)
		}
		for i, content := range []string{"ahead", "behind", "right", "behind", "ahead", "behind"} {
			by := r.Members[map[string]int{"ahead": 0, "behind": 1, "right": 2}[content]]
			r.Store(by, "file", fmt.Append(nil, content, i), node.StoreOptions{IfExists: node.Replace})
			for _, m := range r.Members {
				got, f, err := ringtest.Fetch(t.Context(), m, "file", node.FetchOptions{})
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprint(content, i), string(got))
				assert.True(t, f.Confirmed)
			}
		}
		newcomer := admit(t, r, r.Members[0])
		r.StoreMany(4)
		require.NoError(t, r.Members[0].Promote(t.Context(), r.Members[1].Membership.Machine()))
		r.Eventually(time.Minute, "an issuer", func() bool { _, err := r.Members[1].Invites(); return err == nil })
		_, err := newcomer.Logout(t.Context(), time.Minute)
		require.NoError(t, err)
		r.Ended(newcomer)
		admit(t, r, r.Members[1])
		r.Whole(5 * time.Minute)
		for _, m := range r.Up() {
			assert.Empty(t, m.Status(t.Context()).Warnings)
		}
	})
}

func TestMembersAreFoundByWhatPeopleCallThem(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 2}, func(t *testing.T, r *ringtest.Ring) {
		by, other := r.Members[0], r.Members[1]
		want := other.Membership.Machine()
		for _, text := range []string{other.Host, other.Membership.Positions()[0].String(), other.Membership.Positions()[0].String()[:6]} {
			got, err := by.Find(text)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
		for _, text := range []string{"", "nobody", "a"} {
			_, err := by.Find(text)
			require.ErrorIs(t, err, trust.ErrNoMember)
		}
	})
}
