package node_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// displaced joins members until one holds a copy that its name's register no
// longer counts on, and returns it with the name.
func displaced(t *testing.T, r *ringtest.Ring, names []string) (*ringtest.Member, string) {
	t.Helper()
	r.Join()
	r.Eventually(time.Minute, "all copies are where they belong", func() bool { return placed(t, r, names) })
	for _, name := range names {
		group := groupOf(t, r, name)
		for _, m := range r.Up() {
			if m.Has(name) && !slices.Contains(group, m) {
				return m, name
			}
		}
	}
	require.FailNow(t, "the join displaced nobody")
	return nil, ""
}

func TestStraysAreKeptAWhile(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		m, name := displaced(t, r, r.StoreMany(20))
		since := time.Now()
		r.Eventually(12*time.Minute, "the copy is dropped", func() bool { return !m.Has(name) })
		assert.Greater(t, time.Since(since), 8*time.Minute)
	})
}

func TestAStrayThatIsNeededStays(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(20)
		m, name := displaced(t, r, names)
		for _, voter := range groupOf(t, r, name) {
			require.NoError(t, voter.DropStray(t.Context(), name))
			require.True(t, voter.Has(name), "a voter keeps its copy")

			r.Crash(voter)
			require.NoError(t, m.DropStray(t.Context(), name))
			require.True(t, m.Has(name), "one of those that should have it does not answer")
			r.Start(voter)
			r.Ready(voter)
		}
		voter := groupOf(t, r, name)[1]
		time.Sleep(time.Minute) // its file is all there is of it
		require.NoError(t, voter.Rot(name, 3))
		voter.Disk.SetCapacity(1) // it cannot have a good copy now
		_, _, err := ringtest.Fetch(t.Context(), voter, name, node.FetchOptions{Quorum: 1})
		require.NoError(t, err) // it has noticed, and gone on with another's copy
		require.NoError(t, m.DropStray(t.Context(), name))
		require.True(t, m.Has(name), "one of those that should have it has it no more")
		voter.Disk.SetCapacity(math.MaxInt64)
		r.Whole(2 * time.Minute)
		require.NoError(t, m.DropStray(t.Context(), name))
		require.False(t, m.Has(name), "nobody needs it")
	})
}

// A copy whose name was changed or deleted without its node hearing of it.
func TestStraysOfOldVersions(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "changed", []byte("old"), node.StoreOptions{})
		r.Store(r.Members[0], "deleted", []byte("old"), node.StoreOptions{})
		for _, name := range []string{"changed", "deleted"} {
			owner := groupOf(t, r, name)[0]
			r.Crash(owner)
			time.Sleep(time.Minute) // another has taken its part
			by := r.Up()[0]
			if name == "changed" {
				r.Store(by, name, []byte("new"), node.StoreOptions{IfExists: node.Replace})
			} else {
				r.Delete(by, name)
			}
			r.Start(owner)
			r.Ready(owner)
		}
		r.Whole(2 * time.Minute)
		r.Eventually(15*time.Minute, "nobody has what was deleted", func() bool {
			return !slices.ContainsFunc(r.Members, func(m *ringtest.Member) bool { return m.Has("deleted") })
		})
	})
}

// The coordinator of a store dies when the others have the content already: it
// is kept for a while, then swept.
func TestStagedContentIsSwept(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4, Delay: 50 * time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		group := groupOf(t, r, "file")
		sealed := make(chan struct{}, 100)
		group[1].Disk.SetFault(func(op filestore.Op, path string) error {
			if op == filestore.OpSyncDir && strings.HasPrefix(path, "files/") {
				sealed <- struct{}{}
			}
			return nil
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, err := group[0].Store(t.Context(), "file", readerOf("content"), node.StoreOptions{})
			assert.Error(t, err)
		}()
		<-sealed
		r.Crash(group[0])
		<-ended
		group[1].Disk.SetFault(nil)
		require.Len(t, group[1].Disk.Leftovers(), 1)
		time.Sleep(8 * time.Minute)
		require.Len(t, group[1].Disk.Leftovers(), 1)
		time.Sleep(4 * time.Minute)
		require.Empty(t, group[1].Disk.Leftovers())
		r.Start(group[0])
		r.Ready(group[0])
		r.Acknowledged("file", nil)
	})
}
