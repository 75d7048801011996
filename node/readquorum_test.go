package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// A read quorum of all voters means all of them, also when one of them has missed
// the last version: it gets it first. A quorum of one takes anybody's word, but
// not that there is nothing.
func TestReadQuorum(t *testing.T) {
	options := ringtest.Options{Nodes: 3, Delay: time.Millisecond, Timing: node.Timing{RepairAfter: time.Hour, RepairEvery: time.Hour, TakeOver: time.Hour}}
	ringtest.Test(t, options, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("first"), node.StoreOptions{})
		by := func(m *ringtest.Member, name string, quorum int) (string, bool, error) {
			got, f, err := ringtest.Fetch(t.Context(), m, name, node.FetchOptions{Quorum: quorum})
			return string(got), f.Confirmed, err
		}
		group := groupOf(t, r, "file") // all there are: nobody can take the place of one
		at := group[0]
		for _, quorum := range []int{0, 2, 3} {
			got, confirmed, err := by(at, "file", quorum)
			require.NoError(t, err, quorum)
			assert.Equal(t, "first", got)
			assert.True(t, confirmed, quorum)
		}
		got, confirmed, err := by(at, "file", 1)
		require.NoError(t, err)
		assert.Equal(t, "first", got)
		assert.False(t, confirmed)
		for _, quorum := range []int{4, -1} {
			_, _, err = by(at, "file", quorum)
			assert.ErrorIs(t, err, node.ErrBadOption, quorum)
		}
		_, _, err = by(at, "nothing", 3)
		require.ErrorIs(t, err, node.ErrNotFound)

		late := group[2] // misses a version
		for _, m := range r.Others(late) {
			r.Net.CutBoth(late.Host, m.Host)
		}
		r.StoreAgain(at, "file", []byte("second"), replace)
		_, _, err = by(at, "file", 3)
		require.ErrorIs(t, err, node.ErrUnavailable)
		got, confirmed, err = by(at, "file", 2)
		require.NoError(t, err)
		assert.Equal(t, "second", got)
		assert.True(t, confirmed)
		r.Net.HealAll()
		r.Eventually(time.Minute, "all three answer", func() bool {
			got, confirmed, err = by(at, "file", 3)
			return err == nil
		})
		assert.Equal(t, "second", got)
		assert.True(t, confirmed)
		f, err := at.Stat(t.Context(), "file")
		require.NoError(t, err)
		assert.Equal(t, 3, f.Copies, "a read by three has three confirm it")
	})
}

// One voter's tombstone is not taken for the newest version.
func TestOneTombstoneIsNoWord(t *testing.T) {
	options := ringtest.Options{Nodes: 3, Delay: time.Millisecond, Timing: node.Timing{RepairAfter: time.Hour, RepairEvery: time.Hour, TakeOver: time.Hour}}
	ringtest.Test(t, options, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("first"), node.StoreOptions{})
		group := groupOf(t, r, "file") // all there are: nobody can take the place of one
		at := group[2]
		require.NoError(t, at.Delete(t.Context(), "file", filestore.OpID{}, 0))
		for _, m := range r.Others(group[2]) {
			r.Net.CutBoth(group[2].Host, m.Host)
		}
		r.StoreAgain(group[0], "file", []byte("second"), replace)
		r.Net.HealAll()
		r.Crash(group[:2]...)
		r.Eventually(time.Minute, "it answers again", func() bool {
			_, err := at.Fetch(t.Context(), "file", node.FetchOptions{Quorum: 1})
			require.NotErrorIs(t, err, node.ErrNotFound)
			_, statErr := at.Stat(t.Context(), "file")
			return err != nil && statErr != nil
		})
		r.Start(group[0])
		r.Start(group[1])
		r.Ready(r.Up()...)
	})
}
