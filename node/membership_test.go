package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// knows reports whether every member that runs lists all of them as alive, at
// their present addresses.
func knows(t *testing.T, r *ringtest.Ring) bool {
	t.Helper()
	for _, by := range r.Up() {
		listed := by.Members(t.Context())
		if len(listed) != len(r.Members) {
			return false
		}
		for _, x := range listed {
			if m := r.Member(x.Machine); x.Addr != m.Addr || (x.State == node.Alive) != m.Running() {
				return false
			}
		}
	}
	return true
}

func TestAllMembersAreKnownToAll(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 8}, func(t *testing.T, r *ringtest.Ring) {
		r.Eventually(30*time.Second, "all know all", func() bool { return knows(t, r) })
		for _, m := range r.Members {
			s := m.Status(t.Context())
			assert.Equal(t, 8, s.Members)
			assert.Equal(t, 8, s.Alive)
			assert.True(t, s.Ready)
			positions, summary := m.RingPositions(t.Context())
			assert.True(t, summary.Complete())
			require.Len(t, positions, 8)
			for i, p := range positions {
				assert.Equal(t, positions[(i+1)%8].Self.ID, p.Successors[0].ID)
			}
			assert.True(t, m.Members(t.Context())[0].Self)
		}
		r.Crash(r.Members[3])
		r.Eventually(30*time.Second, "all miss one", func() bool { return knows(t, r) })
	})
}

func TestNewAddressesAreLearnt(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		r.StoreMany(10)
		for _, m := range r.Members { // the founder too
			was := m.Addr
			r.Stop(m)
			m.Addr = ""
			r.Start(m)
			require.NotEqual(t, was, m.Addr)
			r.Ready(m)
			r.Eventually(30*time.Second, "all know the new address", func() bool { return knows(t, r) })
		}
		// Two that have never seen each other's new address, since they moved together.
		moved := r.Members[1:3]
		for _, m := range moved {
			r.Stop(m)
			m.Addr = ""
		}
		time.Sleep(time.Minute)
		for _, m := range moved {
			r.Start(m)
		}
		r.Ready(moved...)
		r.Eventually(time.Minute, "all know both", func() bool { return knows(t, r) })
		r.Whole(time.Minute)
	})
}

func TestOnlyAnIssuerInvites(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 2}, func(t *testing.T, r *ringtest.Ring) {
		_, _, err := r.Members[1].Invite(time.Hour, 1)
		assert.ErrorIs(t, err, node.ErrNotIssuer)
		token, invite, err := r.Members[0].Invite(time.Hour, 1)
		require.NoError(t, err)
		require.NoError(t, r.Members[0].RevokeInvite(invite.ID))
		_, err = node.Join(t.Context(), node.JoinOptions{Token: token, Label: "late", Dial: r.Net.Dialer("late")})
		assert.Error(t, err)
		all, err := r.Members[0].Invites()
		require.NoError(t, err)
		assert.True(t, all[len(all)-1].Revoked)
	})
}
