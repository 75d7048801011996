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
)

// A copy's bytes do not leave the machine that asks for it, and those that have
// them already are sent nothing: over links this slow the test would not end.
func TestACopySendsNothing(t *testing.T) {
	const trickle = 16 << 10 // bytes a second
	content := noise(1, 2<<20+5)
	t.Run("all have it", func(t *testing.T) {
		ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
			stored := r.Store(r.Members[0], "old", content, node.StoreOptions{})
			slow(r, r.Members, trickle)
			for i, m := range r.Members {
				copyOf(t, r, m, stored, fmt.Sprint("new ", i), content)
			}
			slow(r, r.Members, 1<<30)
		})
	})
	t.Run("the one that asks has not", func(t *testing.T) {
		ringtest.Test(t, ringtest.Options{Nodes: 7}, func(t *testing.T, r *ringtest.Ring) {
			stored := r.Store(r.Members[0], "old", content, node.StoreOptions{})
			holders := r.Holders(r.Members[0], "old")
			i := slices.IndexFunc(r.Members, func(m *ringtest.Member) bool { return !slices.Contains(holders, m) })
			asks := r.Members[i]
			for _, other := range r.Others(asks) {
				r.Net.SetBandwidth(asks.Host, other.Host, trickle)
			}
			name := ""
			for i := 0; name == "" || slices.Contains(groupOf(t, r, name), asks); i++ {
				name = fmt.Sprint("new ", i)
			}
			copyOf(t, r, asks, stored, name, content)
			for _, other := range r.Others(asks) {
				r.Net.SetBandwidth(asks.Host, other.Host, 1<<30)
			}
		})
	})
}

func slow(r *ringtest.Ring, members []*ringtest.Member, bandwidth int) {
	for i, a := range members {
		for _, b := range members[i+1:] {
			r.Net.SetBandwidth(a.Host, b.Host, bandwidth)
		}
	}
}

func copyOf(t *testing.T, r *ringtest.Ring, m *ringtest.Member, stored node.StoreResult, name string, content []byte) {
	t.Helper()
	begun := time.Now()
	got, err := m.Copy(t.Context(), name, node.Source{Name: stored.Record.Name, Version: stored.Record.Op}, node.StoreOptions{Mode: 0o600})
	require.NoError(t, err)
	assert.Less(t, time.Since(begun), 20*time.Second)
	assert.Equal(t, node.Stored, got.Action)
	assert.Zero(t, got.Sent)
	assert.Equal(t, 3, got.Copies)
	assert.Equal(t, m.Membership.Machine(), got.Record.Publisher)
	assert.EqualValues(t, 0o600, got.Record.Mode)
	assert.Equal(t, stored.Record.SHA256, got.Record.SHA256)
	r.Acknowledged(name, content)
}

func TestACopyOfWhatIsNotThere(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		first := r.Store(r.Members[0], "old", []byte("first"), node.StoreOptions{})
		source := node.Source{Name: "old", Version: first.Record.Op}
		r.Store(r.Members[1], "old", []byte("second"), node.StoreOptions{IfExists: node.Replace})
		_, err := r.Members[2].Copy(t.Context(), "new", source, node.StoreOptions{})
		require.ErrorIs(t, err, node.ErrNotFound, "the source has another version")
		r.Delete(r.Members[1], "old")
		_, err = r.Members[2].Copy(t.Context(), "new", source, node.StoreOptions{})
		require.ErrorIs(t, err, node.ErrNotFound)
		r.CheckName(r.Members[3], "new", nil)
	})
}

func TestACopyGoesOverNothing(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		stored := r.Store(r.Members[0], "old", []byte("content"), node.StoreOptions{})
		source := node.Source{Name: "old", Version: stored.Record.Op}
		r.Store(r.Members[1], "new", []byte("other"), node.StoreOptions{})
		_, err := r.Members[2].Copy(t.Context(), "new", source, node.StoreOptions{})
		require.ErrorIs(t, err, node.ErrExists)
		got, err := r.Members[2].Copy(t.Context(), "new", source, node.StoreOptions{IfExists: node.Replace})
		require.NoError(t, err)
		assert.Equal(t, node.Replaced, got.Action)
		r.Acknowledged("new", []byte("content"))
		got, err = r.Members[3].Copy(t.Context(), "new", source, node.StoreOptions{})
		require.NoError(t, err)
		assert.Equal(t, node.Identical, got.Action)
	})
}

// Update and DeleteVersion go over the one version that they name.
func TestChangesOfOneVersion(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		first := r.Store(r.Members[0], "name", []byte("first"), node.StoreOptions{})
		update := func(m *ringtest.Member, text string, version filestore.OpID) error {
			_, err := m.Store(t.Context(), "name", bytes.NewReader([]byte(text)), node.StoreOptions{IfExists: node.Update, Version: version})
			return err
		}
		require.NoError(t, update(r.Members[1], "second", first.Record.Op))
		require.ErrorIs(t, update(r.Members[2], "third", first.Record.Op), node.ErrExists)
		r.Acknowledged("name", []byte("second"))
		require.NoError(t, update(r.Members[2], "second", first.Record.Op), "identical")

		err := r.Members[3].DeleteVersion(t.Context(), "name", first.Record.Op, filestore.OpID{}, 0)
		require.ErrorIs(t, err, node.ErrExists)
		f, err := r.Members[3].Stat(t.Context(), "name")
		require.NoError(t, err)
		require.NoError(t, r.Members[3].DeleteVersion(t.Context(), "name", f.Record.Op, filestore.OpID{}, 0))
		r.Acknowledged("name", nil)
		require.NoError(t, update(r.Members[0], "again", first.Record.Op), "a name that is free")
		r.Acknowledged("name", []byte("again"))
	})
}
