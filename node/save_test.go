package node_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// target is a file that begins with have.
func target(t *testing.T, have []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "target"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	_, err = f.Write(have)
	require.NoError(t, err)
	return f
}

// contentOf is what was saved in a file, which is closed.
func contentOf(t *testing.T, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	return b
}

// save fetches name into a file that begins with have.
func save(t *testing.T, m *ringtest.Member, have []byte) ([]byte, int64, error) {
	t.Helper()
	f, err := m.Fetch(t.Context(), "file", node.FetchOptions{Offset: int64(len(have))})
	if err != nil {
		return nil, 0, err
	}
	to := target(t, have)
	kept, err := f.Save(to)
	require.NoError(t, f.Close())
	return contentOf(t, to), kept, err
}

// Save does not check chunk by chunk what comes, and yet damage never gets through;
// the holder that has sent it notices and gets a good copy.
func TestSaveMendsWhatCameDamaged(t *testing.T) {
	for _, damaged := range bubble.Some([]int{2, 3, 0, 1}, 2) {
		ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
			content := noise(1, 4*filestore.ChunkSize+9)
			r.Store(r.Members[0], "file", content, node.StoreOptions{})
			holders := r.Holders(r.Members[0], "file")
			require.Len(t, holders, 3)
			for _, m := range holders[:damaged] {
				require.NoError(t, m.Rot("file", 2*filestore.ChunkSize+7))
			}
			for _, m := range r.Members { // the holders themselves too
				got, _, err := save(t, m, nil)
				if damaged == 3 {
					require.Error(t, err) // damaged; to those who ask later there is no copy at all
					continue
				}
				require.NoError(t, err)
				assert.True(t, bytes.Equal(content, got))
			}
			if damaged < 3 {
				r.Whole(3 * time.Minute)
				return
			}
			r.Forget("file") // nobody has it any more
			r.Store(r.Members[0], "file", []byte("new"), node.StoreOptions{IfExists: node.Replace})
		})
	}
}

// What an earlier attempt has left is used up to its first wrong chunk.
func TestSaveGoesOnAfterTheLastGoodChunk(t *testing.T) {
	for _, nodes := range []int{1, 4} {
		ringtest.Test(t, ringtest.Options{Nodes: nodes}, func(t *testing.T, r *ringtest.Ring) {
			const chunk = filestore.ChunkSize
			content := noise(1, 5*chunk+100)
			r.Store(r.Members[0], "file", content, node.StoreOptions{})
			for _, m := range r.Members { // near and far
				for _, c := range []struct {
					have, rot, kept int
				}{
					{have: 3 * chunk, rot: -1, kept: 3 * chunk},
					{have: 3 * chunk, rot: chunk + 5, kept: chunk},
					{have: 3 * chunk, rot: 0, kept: 0},
					{have: 0, rot: -1, kept: 0},
				} {
					have := bytes.Clone(content[:c.have])
					if c.rot >= 0 {
						have[c.rot]++
					}
					got, kept, err := save(t, m, have)
					require.NoError(t, err)
					assert.EqualValues(t, c.kept, kept)
					assert.True(t, bytes.Equal(content, got))
				}
			}
			_, _, err := save(t, r.Members[0], content[:100])
			require.Error(t, err, "not the beginning of a chunk")
		})
	}
}

// A fetch whose source dies goes on at another one, into a file, too.
func TestSaveOutlivesItsSource(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, 8*filestore.ChunkSize)
		r.Store(r.Members[0], "file", content, node.StoreOptions{})
		by := outside(t, r, "file")
		for _, m := range r.Others(by) {
			r.Net.SetBandwidth(m.Host, by.Host, 4<<20)
		}
		f, err := by.Fetch(t.Context(), "file", node.FetchOptions{})
		require.NoError(t, err)
		dying := source(t, r, f)
		time.AfterFunc(time.Second, func() { r.Net.CutBoth(dying.Host, by.Host) })
		to := target(t, nil)
		_, err = f.Save(to)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		assert.True(t, bytes.Equal(content, contentOf(t, to)))
		assert.Len(t, f.From(), 2)
		r.Net.HealAll()
		r.Whole(3 * time.Minute)
	})
}
