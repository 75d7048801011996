package node_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// having are the members that run and have a visible file for a name.
func having(r *ringtest.Ring, name string) []*ringtest.Member {
	return slices.DeleteFunc(r.Up(), func(m *ringtest.Member) bool { return !m.Has(name) })
}

// copiesAre waits until a name has so many copies, of what is stored now.
func copiesAre(t *testing.T, r *ringtest.Ring, name string, count int, limit time.Duration) {
	t.Helper()
	r.Eventually(limit, "as many copies as are wanted", func() bool {
		f, err := r.Up()[0].Stat(t.Context(), name)
		return err == nil && f.Copies == count && len(having(r, name)) == count
	})
}

func TestMoreCopiesThanVoters(t *testing.T) {
	o := ringtest.Options{Nodes: 7, Timing: node.Timing{DropAfter: 2 * time.Minute}}
	ringtest.Test(t, o, func(t *testing.T, r *ringtest.Ring) {
		for i, m := range []*ringtest.Member{outside(t, r, "file"), groupOf(t, r, "file")[0]} {
			name := []string{"file", "other"}[i]
			got := r.Store(m, name, noise(uint64(i), 3<<20), node.StoreOptions{Replicas: 5})
			assert.Equal(t, 5, got.Copies)
			assert.Equal(t, 5, got.Want)
			voters := 0
			for _, h := range got.Nodes {
				if h.Voter {
					voters++
				}
			}
			assert.Equal(t, 3, voters, "those beyond N do not vote")
		}
		before := staged(r.Members)
		time.Sleep(5 * time.Minute) // longer than copies that nobody counts on are kept
		assert.Equal(t, before, staged(r.Members), "none was dropped and made again")
		copiesAre(t, r, "file", 5, 0)
		copiesAre(t, r, "other", 5, 0)
		for _, m := range having(r, "file") {
			listed := false
			_, err := m.List(t.Context(), node.ListOptions{}, func(f node.File) error {
				if f.Record.Name == "file" {
					listed = true
					assert.Equal(t, 5, f.Want)
					assert.Equal(t, 5, f.Copies)
				}
				return nil
			})
			require.NoError(t, err)
			assert.True(t, listed, "%s lists what it holds", m.Host)
		}

		// New versions reach all copies, and a delete does.
		r.Store(r.Members[0], "file", []byte("second"), node.StoreOptions{IfExists: node.Replace, Replicas: 5})
		copiesAre(t, r, "file", 5, time.Second)
		r.Store(r.Members[0], "file", []byte("third"), node.StoreOptions{IfExists: node.Replace})
		copiesAre(t, r, "file", 3, 25*time.Minute)
		r.Delete(r.Members[1], "other")
		r.Eventually(25*time.Minute, "nobody has it", func() bool { return len(having(r, "other")) == 0 })
	})
}

// A copy beyond the voters whose machine dies is made elsewhere, and one too
// many is dropped again.
func TestExtraCopiesAreMadeAgain(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("content"), node.StoreOptions{Replicas: 4})
		group := groupOf(t, r, "file")
		extra := slices.DeleteFunc(having(r, "file"), func(m *ringtest.Member) bool { return slices.Contains(group, m) })
		require.Len(t, extra, 1)
		r.Crash(extra...)
		copiesAre(t, r, "file", 4, 3*time.Minute)
		r.Start(extra[0])
		r.Ready(extra[0])
		copiesAre(t, r, "file", 4, 30*time.Minute)
		r.Crash(group[0]) // the others move up
		copiesAre(t, r, "file", 4, 5*time.Minute)
		r.Start(group[0])
		r.Ready(group[0])
	})
}

func TestAskingForMore(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		m := r.Members[0]
		for _, less := range []node.StoreOptions{{Quorum: 1}, {Replicas: 1}, {Replicas: 2}, {Replicas: 1000}} {
			_, err := m.Store(t.Context(), "file", readerOf("content"), less)
			assert.ErrorIs(t, err, node.ErrBadOption, "%+v", less)
		}
		got := r.Store(m, "file", []byte("content"), node.StoreOptions{Quorum: 3})
		assert.Equal(t, 3, got.Copies)

		// The very content may be asked to have more copies.
		for i, e := range []node.IfExists{node.Fail, node.Replace} {
			got, err := m.Store(t.Context(), "file", readerOf("content"), node.StoreOptions{IfExists: e, Replicas: 4 + i})
			require.NoError(t, err)
			assert.Equal(t, node.Identical, got.Action)
			assert.Equal(t, 4+i, got.Copies)
		}
		got, err := m.Store(t.Context(), "more", readerOf("content"), node.StoreOptions{Quorum: 6})
		assert.ErrorIs(t, err, node.ErrTooFew)
		assert.Equal(t, 5, got.Copies)
		assert.Equal(t, 6, got.Want)
		r.Acknowledged("more", []byte("content"))

		down := groupOf(t, r, "file")[1]
		r.Crash(down)
		got, err = r.Others(down)[0].Store(t.Context(), "file", readerOf("second"), node.StoreOptions{IfExists: node.Replace, Quorum: 3})
		assert.ErrorIs(t, err, node.ErrTooFew, "the third voter is down, and no other may stand in for it")
		assert.Equal(t, 2, got.Copies)
		r.Acknowledged("file", []byte("second"))
		r.Start(down)
		r.Ready(down)
		r.Whole(2 * time.Minute)
	})
}
