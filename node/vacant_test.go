package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// All three machines that know a range are away. What they have may come back, so
// nobody says that it is not found; after a minute names can be stored there all
// the same, beside what comes back. The ranges next to it, of which somebody is
// left, are taken over whole.
func TestNobodyKnowsARange(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		r.Store(r.Members[0], "file", []byte("what they have"), node.StoreOptions{})
		away := groupOf(t, r, "file")
		fresh, next := owned(t, r, "fresh", away[0], 5), owned(t, r, "next", away[1], 2)
		time.Sleep(2 * time.Minute)
		r.Crash(away...)
		crashed := time.Now()
		at := r.Up()[0]
		for time.Since(crashed) < 5*time.Minute {
			for _, name := range []string{"file", fresh[2]} {
				_, _, err := ringtest.Fetch(t.Context(), at, name, node.FetchOptions{})
				require.ErrorIs(t, err, node.ErrUnavailable, "%s after %v", name, time.Since(crashed))
				require.ErrorIs(t, at.Delete(t.Context(), name, filestore.OpID{}, 0), node.ErrUnavailable)
			}
			time.Sleep(30 * time.Second)
		}
		assert.Contains(t, strings.Join(at.Status(t.Context()).Warnings, "\n")+strings.Join(r.Up()[1].Status(t.Context()).Warnings, "\n"),
			"all nodes that knew a part of the ring are away")
		for i, m := range r.Up()[:2] {
			got := r.Store(m, fresh[i], []byte("fresh"), node.StoreOptions{})
			assert.True(t, got.Record.Forced, "without those who may have it")
			r.CheckName(m, fresh[i], []byte("fresh"))
			r.Store(m, fresh[i], []byte("changed"), replace)
			r.CheckName(m, next[i], nil)
		}
		stored, err := at.Look(t.Context(), fresh[0])
		require.NoError(t, err)
		_, err = at.Copy(t.Context(), fresh[3], node.Source{Name: fresh[0], Version: stored.Record.Op}, node.StoreOptions{})
		require.NoError(t, err)
		r.Acknowledged(fresh[3], []byte("changed"))
		holder := r.Holders(at, fresh[0])[0]
		require.NoError(t, holder.KeepBeside(t.Context(), fresh[0], fresh[4]))
		r.CheckName(at, fresh[4], []byte("changed"))
		r.Store(at, "file", []byte("meanwhile"), node.StoreOptions{})

		for _, m := range away {
			r.Start(m)
		}
		settled(r)
		bothKept(t, r, "file", "meanwhile", "what they have")
		for _, m := range r.Up() {
			assert.Empty(t, m.Status(t.Context()).Warnings, m.Host)
		}
		r.CheckName(at, fresh[2], nil)
		r.Whole(2 * time.Minute)
	})
}

// Of three machines that know a range the one comes back first that has missed a
// name. The others had better be given the time to say so.
func TestTheFirstWhoComesBackHasMissedAName(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		away := groupOf(t, r, "missed")
		time.Sleep(2 * time.Minute)
		r.Crash(away[2])
		got := r.Store(away[0], "missed", []byte("content"), node.StoreOptions{})
		r.Crash(away[:2]...)
		require.Len(t, got.Nodes, 2)
		time.Sleep(5 * time.Minute)
		r.Start(away[2])
		for range 50 {
			time.Sleep(time.Second)
			for _, m := range r.Up() {
				_, _, err := ringtest.Fetch(t.Context(), m, "missed", node.FetchOptions{})
				require.Error(t, err)
				require.NotErrorIs(t, err, node.ErrNotFound, m.Host)
			}
		}
		r.Start(away[0])
		r.Start(away[1])
		settled(r)
		r.CheckName(r.Members[0], "missed", []byte("content"))
		r.Whole(2 * time.Minute)
	})
}

// When those who knew a range are given up for good, it is known that nothing is
// there that was not stored since.
func TestThoseWhoKnewARangeAreForgotten(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		name := ""
		for i := 0; name == ""; i++ { // those who are forgotten must not include the issuer
			n := fmt.Sprint("name ", i)
			if group := groupOf(t, r, n); group[0] != r.Members[0] && group[1] != r.Members[0] && group[2] != r.Members[0] {
				name = n
			}
		}
		away := groupOf(t, r, name)
		r.Crash(away...)
		time.Sleep(5 * time.Minute)
		_, _, err := ringtest.Fetch(t.Context(), r.Members[0], name, node.FetchOptions{})
		require.ErrorIs(t, err, node.ErrUnavailable)
		for _, m := range away {
			require.NoError(t, r.Members[0].Forget(t.Context(), m.Membership.Machine(), false))
		}
		time.Sleep(3 * time.Minute)
		for _, m := range r.Up() {
			r.CheckName(m, name, nil)
		}
	})
}
