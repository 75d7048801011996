package node_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

var replace = node.StoreOptions{IfExists: node.Replace}

// refused reports whether an error is one that a node cut off may answer with.
func refused(err error) bool {
	return errors.Is(err, node.ErrUnavailable) || errors.Is(err, node.ErrOutcome)
}

func TestOneCutOffFromTwo(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(6)
		alone, others := r.Members[1], []*ringtest.Member{r.Members[0], r.Members[2]}
		r.Net.Partition(ringtest.Hosts(alone), ringtest.Hosts(others...))
		for i, name := range names {
			_, err := alone.Store(t.Context(), name, readerOf("lost"), replace)
			assert.True(t, refused(err), "%v", err)
			assert.True(t, refused(alone.Delete(t.Context(), name, filestore.OpID{}, 0)))
			_, err = alone.Store(t.Context(), "new "+name, readerOf("lost"), node.StoreOptions{})
			assert.True(t, refused(err), "%v", err)
			r.Store(others[i%2], name, []byte("kept "+name), replace)
			r.Store(others[i%2], "other "+name, []byte(name), node.StoreOptions{})
			got, f, err := ringtest.Fetch(t.Context(), alone, name, node.FetchOptions{})
			require.NoError(t, err)
			assert.False(t, f.Confirmed)
			assert.Equal(t, "content of "+name, string(got), "what it had")
			_, _, err = ringtest.Fetch(t.Context(), alone, "other "+name, node.FetchOptions{})
			assert.ErrorIs(t, err, node.ErrUnavailable, "it cannot know that there is none")
		}
		time.Sleep(2 * time.Minute)
		r.Net.HealAll()
		r.Whole(2 * time.Minute)
		for _, name := range names {
			r.Acknowledged("new "+name, nil)
		}
	})
}

// A side of a split that has the majority of a name's voters goes on; the other
// changes nothing until it takes over. Afterwards all agree.
func TestASplitRing(t *testing.T) {
	options := ringtest.Options{Nodes: 7, Delay: time.Millisecond, Timing: node.Timing{TakeOver: time.Hour}}
	ringtest.Test(t, options, func(t *testing.T, r *ringtest.Ring) {
		names := bubble.Some(r.StoreMany(24), 8)
		time.Sleep(time.Minute)
		small, large := r.Members[:3], r.Members[3:]
		inSmall := map[string]int{}
		for _, name := range names {
			for _, m := range groupOf(t, r, name) {
				if slices.Contains(small, m) {
					inSmall[name]++
				}
			}
		}
		r.Net.Partition(ringtest.Hosts(small...), ringtest.Hosts(large...))
		for _, wait := range []time.Duration{0, 10 * time.Second, 2 * time.Minute} {
			time.Sleep(wait)
			written := 0
			for i, name := range names {
				with, without := large, small
				if inSmall[name] >= 2 {
					with, without = small, large
				}
				content := []byte("after " + wait.String())
				_, err := without[i%3].Store(t.Context(), name, readerOf("lost"), replace)
				assert.True(t, refused(err), "%s after %v: %v", name, wait, err)
				_, err = with[i%3].Store(t.Context(), name, readerOf(string(content)), replace)
				switch {
				case err == nil:
					r.Acknowledged(name, content)
					written++
				case wait == 0: // while the ring routes around the other side
					require.True(t, refused(err), "%v", err)
					r.Forget(name)
				default:
					require.NoError(t, err, "%s after %v", name, wait)
				}
			}
			t.Log("after", wait, "the majorities changed", written, "of", len(names))
		}
		r.Net.HealAll()
		r.Whole(3 * time.Minute)
		time.Sleep(time.Minute)
		r.Eventually(time.Minute, "all copies are where they belong", func() bool { return placed(t, r, names) })
	})
}

// One way only is lost: nothing is acknowledged twice or forgotten, and the ring
// is whole again soon after.
func TestOneWayLoss(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(10)
		deaf := r.Members[2]
		for _, m := range r.Others(deaf) {
			r.Net.Cut(m.Host, deaf.Host)
		}
		for range 3 {
			time.Sleep(10 * time.Second)
			for i, name := range names {
				m := r.Others(deaf)[i%4]
				content := []byte(time.Now().String())
				if _, err := m.Store(t.Context(), name, readerOf(string(content)), replace); err == nil {
					r.Acknowledged(name, content)
				} else {
					require.True(t, refused(err), "%v", err)
					r.Forget(name)
				}
			}
		}
		r.Net.HealAll()
		r.Whole(2 * time.Minute)
	})
}
