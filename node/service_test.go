package node_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// noise is content that does not compress, the same for the same seed.
func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	g := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = g.Read(b) // never fails
	return b
}

// unsized hides the length of what it reads.
type unsized struct{ io.Reader }

func TestEveryNodeServesEveryFile(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		contents := map[string][]byte{
			"empty":           {},
			"small":           []byte("hello, ring"),
			"a/b c/ä.txt":     bytes.Repeat([]byte("text shrinks "), 1000),
			"one chunk":       noise(1, filestore.ChunkSize),
			"several chunks":  noise(2, 3*filestore.ChunkSize+17),
			"shrinking chunk": make([]byte, 2*filestore.ChunkSize),
		}
		i := 0
		for name, content := range contents {
			by := r.Members[i%len(r.Members)]
			got := r.Store(by, name, content, node.StoreOptions{Size: int64(len(content))})
			assert.Equal(t, node.Stored, got.Action)
			assert.Equal(t, 3, got.Copies)
			assert.Equal(t, 3, got.Want)
			require.Len(t, got.Nodes, 3)
			assert.Equal(t, by.Membership.Machine(), got.Record.Publisher)
			i++
		}
		for name, content := range contents {
			group := groupOf(t, r, name)
			for _, m := range r.Members {
				r.CheckName(m, name, content)
				f, err := m.Stat(t.Context(), name)
				require.NoError(t, err)
				assert.Equal(t, int64(len(content)), f.Record.Size)
				assert.Equal(t, 3, f.Copies)
				assert.True(t, f.Confirmed)
				require.Len(t, f.Holders, 3)
				for k, h := range f.Holders {
					assert.Equal(t, group[k], r.Member(h.Machine), "the holders come in the order of the group")
					assert.Equal(t, node.Durable, h.State)
				}
			}
		}
	})
}

// groupOf are the members that should keep a name, the owner first; every
// member must agree.
func groupOf(t *testing.T, r *ringtest.Ring, name string) []*ringtest.Member {
	t.Helper()
	var group []*ringtest.Member
	for i, m := range r.Up() {
		_, holders, err := m.Locate(t.Context(), chord.KeyOf(name))
		require.NoError(t, err)
		var seen []*ringtest.Member
		for _, h := range holders {
			seen = append(seen, r.Member(h.Machine))
		}
		if i == 0 {
			group = seen
		}
		require.Equal(t, group, seen, "the group of %s at %s", name, m.Host)
	}
	return group
}

// outside is a member that is not in a name's group.
func outside(t *testing.T, r *ringtest.Ring, name string) *ringtest.Member {
	t.Helper()
	others := r.Others(groupOf(t, r, name)...)
	require.NotEmpty(t, others)
	return others[0]
}

func TestContentOfUnknownLength(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		for _, size := range []int{0, 1, filestore.ChunkSize, 2*filestore.ChunkSize + 1} {
			name := fmt.Sprint("of ", size, " bytes")
			content := noise(3, size)
			got, err := outside(t, r, name).Store(t.Context(), name, unsized{bytes.NewReader(content)}, node.StoreOptions{})
			require.NoError(t, err)
			assert.Equal(t, int64(size), got.Record.Size)
			r.Acknowledged(name, content)
		}
	})
}

func TestFetchParts(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		const size = 3*filestore.ChunkSize + 5
		content := noise(4, size)
		r.Store(r.Members[0], "file", content, node.StoreOptions{Size: size})
		r.Store(r.Members[0], "empty", nil, node.StoreOptions{})
		for _, c := range []struct{ offset, length, end int64 }{
			{0, 0, size},
			{0, 1, 1},
			{1, 0, size},
			{filestore.ChunkSize, 2, filestore.ChunkSize + 2},
			{filestore.ChunkSize - 1, 2, filestore.ChunkSize + 1},
			{filestore.ChunkSize + 9, filestore.ChunkSize, 2*filestore.ChunkSize + 9},
			{size - 1, 0, size},
			{size - 1, 100, size},
			{size, 0, size},
			{2 * filestore.ChunkSize, 1 << 62, size},
		} {
			for _, m := range r.Members {
				got, _, err := ringtest.Fetch(t.Context(), m, "file", node.FetchOptions{Offset: c.offset, Length: c.length})
				require.NoError(t, err)
				require.True(t, bytes.Equal(content[c.offset:c.end], got), "%d bytes at %d", c.length, c.offset)
			}
		}
		for _, offset := range []int64{-1, size + 1} {
			_, err := r.Members[1].Fetch(t.Context(), "file", node.FetchOptions{Offset: offset})
			assert.ErrorIs(t, err, node.ErrBadRange)
		}
		_, err := r.Members[1].Fetch(t.Context(), "empty", node.FetchOptions{Offset: 1})
		assert.ErrorIs(t, err, node.ErrBadRange)
		got, _, err := ringtest.Fetch(t.Context(), r.Members[1], "file", node.FetchOptions{Quorum: 1})
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, got))
	})
}

func TestWhatIsNotThere(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		for _, m := range r.Members {
			_, err := m.Fetch(t.Context(), "nothing", node.FetchOptions{})
			assert.ErrorIs(t, err, node.ErrNotFound)
			_, err = m.Fetch(t.Context(), "nothing", node.FetchOptions{Quorum: 1})
			assert.ErrorIs(t, err, node.ErrNotFound)
			_, err = m.Stat(t.Context(), "nothing")
			assert.ErrorIs(t, err, node.ErrNotFound)
			assert.ErrorIs(t, m.Delete(t.Context(), "nothing", filestore.OpID{}, 0), node.ErrNotFound)
			_, err = m.Fetch(t.Context(), "../nothing", node.FetchOptions{})
			assert.ErrorIs(t, err, filestore.ErrBadName)
			_, err = m.Store(t.Context(), "/nothing", bytes.NewReader(nil), node.StoreOptions{})
			assert.ErrorIs(t, err, filestore.ErrBadName)
		}
	})
}

func TestDelete(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("first"), node.StoreOptions{})
		holders := r.Holders(r.Members[0], "file")
		r.Delete(r.Members[1], "file")
		for _, m := range r.Members {
			r.CheckName(m, "file", nil)
			assert.ErrorIs(t, m.Delete(t.Context(), "file", filestore.OpID{}, 0), node.ErrNotFound)
		}
		for _, m := range holders {
			assert.False(t, m.Has("file"), "%s keeps the bytes of a deleted file", m.Host)
		}
		got := r.Store(r.Members[2], "file", []byte("second"), node.StoreOptions{})
		assert.Equal(t, node.Stored, got.Action, "a deleted name is free")
	})
}

func TestListings(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(30)
		r.Delete(r.Members[0], names[7])
		live := append(append([]string{}, names[:7]...), names[8:]...)
		local := map[string]int{}
		for _, m := range r.Members {
			all, summary := list(t, m, node.ListOptions{Ring: true})
			assert.True(t, summary.Complete())
			assert.ElementsMatch(t, live, namesOf(all))
			brief, summary := list(t, m, node.ListOptions{Ring: true, Names: true})
			assert.True(t, summary.Complete())
			assert.Equal(t, namesOf(all), namesOf(brief))
			for i, f := range all {
				assert.Equal(t, 3, f.Copies, f.Record.Name)
				assert.True(t, i == 0 || all[i-1].Key.Compare(f.Key) <= 0, "in the order of keys")
			}
			some, _ := list(t, m, node.ListOptions{Ring: true, Prefix: "files/001"})
			assert.ElementsMatch(t, names[10:20], namesOf(some))
			some, _ = list(t, m, node.ListOptions{Ring: true, Pattern: "files/*3"})
			assert.ElementsMatch(t, []string{names[3], names[13], names[23]}, namesOf(some))
			own, _ := list(t, m, node.ListOptions{})
			owned := 0
			for _, f := range own {
				local[f.Record.Name]++
				assert.Equal(t, 3, f.Copies, f.Record.Name)
				if f.Role == node.Owner {
					owned++
				}
			}
			assert.Less(t, owned, len(own), "some are replicas")
		}
		for _, name := range live {
			assert.Equal(t, 3, local[name], "%s is listed by those that hold it", name)
		}
	})
}

func list(t *testing.T, m *ringtest.Member, o node.ListOptions) (l []node.File, s node.ListSummary) {
	t.Helper()
	s, err := m.List(t.Context(), o, func(f node.File) error {
		l = append(l, f)
		return nil
	})
	require.NoError(t, err)
	return l, s
}

func namesOf(l []node.File) []string {
	names := make([]string, len(l))
	for i, f := range l {
		names[i] = f.Record.Name
	}
	return names
}

func TestSmallRings(t *testing.T) {
	for size := 1; size <= 3; size++ {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: size}, func(t *testing.T, r *ringtest.Ring) {
				for i, m := range r.Members {
					got := r.Store(m, fmt.Sprint("file ", i), noise(5, 10_000), node.StoreOptions{})
					assert.Equal(t, size, got.Copies)
					assert.Equal(t, size, got.Want)
				}
				r.Delete(r.Members[0], "file 0")
			})
		})
	}
}

func TestMoreThanUsual(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		_, err := r.Members[0].Store(t.Context(), "file", bytes.NewReader([]byte("x")), node.StoreOptions{Quorum: 3})
		require.NoError(t, err)
		r.Acknowledged("file", []byte("x"))
		got, err := r.Members[0].Store(t.Context(), "other", bytes.NewReader([]byte("x")), node.StoreOptions{Quorum: 5})
		assert.ErrorIs(t, err, node.ErrTooFew)
		assert.Equal(t, 4, got.Copies)
		r.Acknowledged("other", []byte("x"))
	})
}
