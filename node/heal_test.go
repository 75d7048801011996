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
)

// soon is long enough for what happens at once, and shorter than RepairEvery.
const soon = 3 * time.Second

// stateAt is what a member's copy of a file is in, as another reports it.
func stateAt(t *testing.T, by *ringtest.Member, name string, m *ringtest.Member) node.HolderState {
	t.Helper()
	f, err := by.Stat(t.Context(), name)
	require.NoError(t, err)
	for _, h := range f.Holders {
		if h.Machine == m.Membership.Machine() {
			return h.State
		}
	}
	return ""
}

// Damage that a read finds is healed from the others without waiting for repair.
func TestHealedOnRead(t *testing.T) {
	for _, damaged := range []int{1, 2} {
		t.Run(fmt.Sprint(damaged), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
				content := noise(1, 3*filestore.ChunkSize)
				r.Store(r.Members[0], "file", content, node.StoreOptions{})
				time.Sleep(2 * time.Minute) // no repair is due
				holders := r.Holders(r.Members[0], "file")
				require.Len(t, holders, 3)
				for _, m := range holders[:damaged] {
					require.NoError(t, m.Rot("file", 2*filestore.ChunkSize+1))
				}
				for _, m := range r.Members {
					r.CheckName(m, "file", content)
				}
				r.Whole(soon)
				for _, m := range holders[:damaged] {
					s := m.Scrub()
					assert.Equal(t, []int{1, 1, 0}, []int{s.Found, s.Healed, s.Open}, m.Host)
				}
			})
		})
	}
}

// What nobody can give is said to be damaged until there is a good copy again.
func TestDamagedEverywhere(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, filestore.ChunkSize)
		r.Store(r.Members[0], "file", content, node.StoreOptions{})
		holders := r.Holders(r.Members[0], "file")
		for _, m := range holders {
			require.NoError(t, m.Rot("file", 0))
		}
		for _, m := range holders {
			p, err := m.Verify(t.Context(), node.VerifyOptions{Repair: true}, ignore)
			require.NoError(t, err)
			assert.Equal(t, 1, p.Damaged+p.Missing)
		}
		for _, m := range holders {
			assert.Equal(t, node.Damaged, stateAt(t, r.Members[0], "file", m), m.Host)
			assert.NotEmpty(t, m.Status(t.Context()).Warnings)
		}
		r.Store(r.Members[0], "file", content, node.StoreOptions{IfExists: node.Replace})
		r.Whole(3 * time.Minute)
		for _, m := range holders {
			r.Eventually(15*time.Minute, "the wound is closed", func() bool { return m.Scrub().Open == 0 })
			assert.Empty(t, m.Status(t.Context()).Warnings)
		}
	})
}

func ignore(node.Verified, node.VerifyProgress) error { return nil }

func TestVerify(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(10)
		m := r.Members[1]
		verify := func(o node.VerifyOptions) (map[string]node.Verified, node.VerifyProgress) {
			t.Helper()
			found := map[string]node.Verified{}
			p, err := m.Verify(t.Context(), o, func(v node.Verified, p node.VerifyProgress) error {
				if v.State == "" {
					assert.Equal(t, len(found), p.Files)
					return nil
				}
				found[v.Name] = v
				assert.Equal(t, len(found), p.Files)
				return nil
			})
			require.NoError(t, err)
			assert.Len(t, found, p.OfFiles)
			return found, p
		}
		_, p := verify(node.VerifyOptions{})
		assert.True(t, p.Clean())
		assert.Equal(t, 10, p.Files)
		assert.Equal(t, p.OfBytes, p.Bytes)

		require.NoError(t, m.Rot(names[3], 1))
		found, p := verify(node.VerifyOptions{Pattern: "files/000[0-4]"})
		assert.Equal(t, 5, p.Files)
		assert.Equal(t, node.VerifiedDamaged, found[names[3]].State)
		assert.ErrorIs(t, found[names[3]].Err, filestore.ErrCorrupt)
		assert.Equal(t, 1, p.Damaged)
		r.Whole(soon)

		require.NoError(t, m.Rot(names[4], 1))
		found, p = verify(node.VerifyOptions{Repair: true, Rate: 1 << 20})
		assert.True(t, p.Clean())
		assert.Equal(t, 1, p.Healed)
		assert.Equal(t, node.VerifiedHealed, found[names[4]].State)

		others := r.Others(m)
		r.Net.CutBoth(m.Host, others[0].Host)
		r.Net.CutBoth(m.Host, others[1].Host)
		require.NoError(t, m.Rot(names[5], 1))
		found, p = verify(node.VerifyOptions{Pattern: names[5], Repair: true})
		assert.Equal(t, node.VerifiedDamaged, found[names[5]].State, "nobody gives it")
		found, p = verify(node.VerifyOptions{Pattern: names[5]})
		assert.Equal(t, node.VerifiedMissing, found[names[5]].State, "and it stays so")
		assert.Equal(t, 1, p.Missing)
		r.Net.HealAll()
		r.Whole(2 * time.Minute)

		_, err := m.Verify(t.Context(), node.VerifyOptions{Pattern: "no[thing"}, ignore)
		assert.ErrorIs(t, err, node.ErrNotFound)
	})
}
