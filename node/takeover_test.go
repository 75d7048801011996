package node_test

import (
	"bytes"
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

// forced waits until a name's voters have been replaced without their majority.
func forced(t *testing.T, r *ringtest.Ring, name string, limit time.Duration) {
	t.Helper()
	r.Eventually(limit, name+" is taken over", func() bool {
		f, err := r.Up()[0].Stat(t.Context(), name)
		return err == nil && f.Confirmed && f.Record.Forced
	})
}

// Two of three voters are gone for good. What is left can be fetched at once,
// unconfirmed, and be changed once it has been taken over.
func TestTheSurvivorTakesOver(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 6}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, filestore.ChunkSize+1)
		r.Store(r.Members[1], "file", content, node.StoreOptions{})
		r.Store(r.Members[1], "deleted", content, node.StoreOptions{})
		r.Delete(r.Members[1], "deleted")
		time.Sleep(time.Minute)
		group := groupOf(t, r, "file")
		start := time.Now()
		r.Crash(group[:2]...)
		for _, m := range r.Up() {
			got, f, err := ringtest.Fetch(t.Context(), m, "file", node.FetchOptions{})
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content, got))
			assert.False(t, f.Confirmed)
			_, err = m.Store(t.Context(), "file", readerOf("new"), replace)
			assert.ErrorIs(t, err, node.ErrUnavailable)
		}
		r.Eventually(time.Minute, "the survivor says so", func() bool {
			return slices.ContainsFunc(group[2].Status(t.Context()).Warnings, func(w string) bool { return strings.Contains(w, "cannot be changed") })
		})
		forced(t, r, "file", 3*time.Minute)
		assert.Greater(t, time.Since(start), time.Minute, "not before the time is up")
		t.Log("taken over after", time.Since(start))
		r.Whole(time.Minute)
		for _, m := range r.Up() {
			r.CheckName(m, "file", content)
		}
		r.Eventually(5*time.Minute, "there is nothing left to say", func() bool { return len(group[2].Status(t.Context()).Warnings) == 0 })
		got := r.Store(group[2], "file", []byte("new"), replace)
		assert.Equal(t, 3, got.Copies)
		assert.False(t, got.Record.Forced, "what is stored now, a majority has decided on")
		r.Acknowledged("deleted", nil)

		r.Start(group[0]) // they come back with older versions
		r.Start(group[1])
		settled(r)
		bothKept(t, r, "file", "new")
		r.Whole(time.Minute)
	})
}

// The survivor missed the last change: when those who know it come back it is
// the file, unless the name was changed meanwhile.
func TestNewerVersionsComeBack(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 6, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		names := bubble.Some([]string{"changed", "deleted", "kept", "deleted and changed"}, 2)
		for _, name := range names {
			r.Store(r.Members[1], name, []byte("old"), node.StoreOptions{})
		}
		time.Sleep(time.Minute)
		for _, name := range names {
			group := groupOf(t, r, name)
			survivor, others := group[0], group[1:]
			for _, m := range r.Others(survivor) {
				r.Net.CutBoth(survivor.Host, m.Host)
			}
			insist(t, time.Minute, func() error {
				if name == "kept" || name == "changed" {
					_, err := others[0].Store(t.Context(), name, readerOf("newer"), replace)
					return err
				}
				return others[0].Delete(t.Context(), name, filestore.OpID{}, 0)
			})
			r.Crash(others...)
			r.Net.HealAll()
			forced(t, r, name, 5*time.Minute)
			if name != "kept" && name != "deleted" {
				_, err := r.Up()[0].Store(t.Context(), name, readerOf("meanwhile"), replace)
				require.NoError(t, err)
			}
			r.Start(others[0])
			r.Start(others[1])
			settled(r)
			switch name {
			case "kept":
				bothKept(t, r, name, "newer")
			case "changed":
				bothKept(t, r, name, "newer", "meanwhile")
			case "deleted":
				r.Acknowledged(name, nil)
				for _, m := range r.Up() {
					r.CheckName(m, name, nil)
				}
			default:
				bothKept(t, r, name, "meanwhile")
			}
		}
	})
}

// One node of three that is cut off takes nothing over, however long it lasts.
func TestAloneTakesNothingOver(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(6)
		alone, others := r.Members[1], []*ringtest.Member{r.Members[0], r.Members[2]}
		r.Net.Partition(ringtest.Hosts(alone), ringtest.Hosts(others...))
		time.Sleep(30 * time.Minute)
		for _, name := range names {
			_, err := alone.Store(t.Context(), name, readerOf("lost"), replace)
			assert.ErrorIs(t, err, node.ErrUnavailable)
			f, err := alone.Stat(t.Context(), name)
			require.NoError(t, err)
			assert.False(t, f.Record.Forced)
			assert.False(t, f.Confirmed)
		}
		r.Net.HealAll()
		settled(r)
		assert.False(t, slices.ContainsFunc(names, func(name string) bool { return len(versionsOf(t, alone, name)) != 1 }))
	})
}

// Two that are cut off from five, where three make a yes, take nothing over.
func TestFewerThanWTakeNothingOver(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 7, N: 5, W: 3, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(6)
		time.Sleep(time.Minute)
		few, many := r.Members[:2], r.Members[2:]
		r.Net.Partition(ringtest.Hosts(few...), ringtest.Hosts(many...))
		time.Sleep(5 * time.Minute)
		seen := 0
		for _, name := range names {
			for _, m := range few {
				f, err := m.Stat(t.Context(), name)
				if err != nil {
					assert.ErrorIs(t, err, node.ErrUnavailable)
					continue
				}
				seen++
				assert.False(t, f.Record.Forced, "%s at %s", name, m.Host)
				assert.False(t, f.Confirmed, "%s at %s", name, m.Host)
			}
		}
		assert.NotZero(t, seen)
		r.Net.HealAll()
		settled(r)
	})
}
