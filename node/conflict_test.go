package node_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// insist repeats a change until the ring lets it happen.
func insist(t *testing.T, limit time.Duration, change func() error) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(time.Second) {
		err := change()
		if err == nil {
			return
		}
		require.True(t, refused(err), "%v", err)
		require.True(t, time.Now().Before(end), "still refused after %v: %v", limit, err)
	}
}

// versionsOf are the contents under a name and under the names of its conflict
// copies, as one member sees them.
func versionsOf(t *testing.T, m *ringtest.Member, name string) map[string]string {
	t.Helper()
	versions := map[string]string{}
	_, err := m.List(t.Context(), node.ListOptions{Ring: true, Prefix: name}, func(f node.File) error {
		if f.Record.Name == name || strings.HasPrefix(f.Record.Name, name+" (conflict ") {
			versions[f.Record.Name] = ""
		}
		return nil
	})
	require.NoError(t, err)
	for n := range versions {
		b, f, err := ringtest.Fetch(t.Context(), m, n, node.FetchOptions{})
		require.NoError(t, err)
		require.True(t, f.Confirmed)
		versions[n] = string(b)
	}
	return versions
}

// needless are the copies of what a name itself has. When each of two branches is
// about to give way to the other, the version that keeps the name in the end may
// have been stored beside it already.
func needless(t *testing.T, m *ringtest.Member, name string, versions map[string]string) (copies []string) {
	t.Helper()
	kept, err := m.Stat(t.Context(), name)
	if errors.Is(err, node.ErrNotFound) {
		return nil
	}
	require.NoError(t, err)
	for n := range versions {
		if f, err := m.Stat(t.Context(), n); n != name && err == nil && f.Record.Origin != nil && f.Record.Origin.Op == kept.Record.Op {
			assert.True(t, f.Record.SameContent(&kept.Record), "%s at %s", n, m.Host)
			copies = append(copies, n)
		}
	}
	return copies
}

// bothKept checks that every member gives out exactly these contents, one under
// the name and the others beside it, but for needless copies.
func bothKept(t *testing.T, r *ringtest.Ring, name string, contents ...string) {
	t.Helper()
	slices.Sort(contents)
	var first map[string]string
	for _, m := range r.Up() {
		versions := versionsOf(t, m, name)
		for _, n := range needless(t, m, name, versions) {
			t.Logf("%q is a needless copy", n)
			delete(versions, n)
		}
		if first == nil {
			first = versions
		}
		assert.Equal(t, first, versions, "%s at %s", name, m.Host)
		assert.Equal(t, contents, slices.Sorted(maps.Values(versions)), "%s at %s", name, m.Host)
	}
	if _, kept := first[name]; !kept {
		r.Acknowledged(name, nil) // a delete has kept it
	}
	for n, content := range first {
		r.Acknowledged(n, []byte(content))
		if n == name {
			continue
		}
		f, err := r.Up()[0].Stat(t.Context(), n)
		require.NoError(t, err)
		if assert.NotNil(t, f.Record.Origin) {
			assert.Equal(t, name, f.Record.Origin.Name)
		}
		if _, kept := first[name]; kept {
			f, err = r.Up()[0].Stat(t.Context(), name)
			require.NoError(t, err)
			assert.Equal(t, []string{n}, f.Conflicts)
		}
	}
}

// settled waits until no member's repair has anything to do any more.
func settled(r *ringtest.Ring) {
	r.Ready(r.Up()...)
	time.Sleep(4 * time.Minute)
}

// A ring split in two for a minute and more, both sides change the same names.
func TestBothSidesOfASplitWrite(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		small, large := r.Members[:3], r.Members[3:]
		var names []string // known on both sides
		for _, name := range r.StoreMany(24) {
			on := 0
			for _, m := range groupOf(t, r, name) {
				if slices.Contains(small, m) {
					on++
				}
			}
			if on > 0 && on < 3 {
				names = append(names, name)
			}
		}
		require.Greater(t, len(names), 8)
		same, deleted, written, names := names[0], names[1], names[2], bubble.Some(names[3:9], 2)
		time.Sleep(time.Minute)
		r.Net.Partition(ringtest.Hosts(small...), ringtest.Hosts(large...))
		time.Sleep(10 * time.Second)
		write := func(m *ringtest.Member, name, content string) {
			insist(t, 3*time.Minute, func() error {
				_, err := m.Store(t.Context(), name, readerOf(content), replace)
				return err
			})
		}
		remove := func(m *ringtest.Member, name string) {
			insist(t, 3*time.Minute, func() error { return m.Delete(t.Context(), name, filestore.OpID{}, 0) })
		}
		for i, name := range names {
			for k, side := range [][]*ringtest.Member{small, large} {
				write(side[i%3], name, fmt.Sprint("first by side ", k))
				write(side[(i+1)%3], name, fmt.Sprint("by side ", k))
			}
		}
		var created []string
		for i := range 2 + bubble.Fewer(10) {
			name := fmt.Sprint("created on both ", i)
			if _, err := small[0].Store(t.Context(), name, readerOf("by side 0"), node.StoreOptions{}); err == nil {
				write(large[0], name, "by side 1")
				created = append(created, name)
			} else {
				require.True(t, refused(err), "%v", err) // nobody there can say that it is not stored
			}
		}
		t.Log(len(created), "names were created on both sides")
		for _, side := range [][]*ringtest.Member{small, large} {
			write(side[0], same, "alike")
		}
		remove(small[0], deleted)
		write(large[0], deleted, "kept")
		write(small[0], written, "kept")
		remove(large[0], written)
		r.Net.HealAll()
		settled(r)
		for _, name := range slices.Concat(names, created) {
			bothKept(t, r, name, "by side 0", "by side 1")
		}
		bothKept(t, r, same, "alike")
		bothKept(t, r, deleted, "kept")
		bothKept(t, r, written, "kept")
		r.Whole(time.Minute)
	})
}
