package node_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// fetching fetches names through members, again and again, until stop is called,
// which tells how often. What is stored must never be said not to be.
func fetching(t *testing.T, names []string, members ...*ringtest.Member) (stop func() (fetched, failed int64)) {
	ctx, cancel := context.WithCancel(t.Context())
	var fetched, failed, running atomic.Int64
	for _, m := range members {
		running.Add(1)
		go func() {
			defer running.Add(-1)
			for i := 0; ctx.Err() == nil; i++ {
				name := names[i%len(names)]
				got, _, err := ringtest.Fetch(ctx, m, name, node.FetchOptions{})
				switch {
				case err == nil:
					fetched.Add(1)
					assert.Equal(t, "content of "+name, string(got))
				case ctx.Err() == nil:
					failed.Add(1)
					assert.NotErrorIs(t, err, node.ErrNotFound, "%s at %s", name, m.Host)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
	}
	return func() (int64, int64) {
		cancel()
		for running.Load() > 0 {
			time.Sleep(time.Second)
		}
		return fetched.Load(), failed.Load()
	}
}

func TestFetchesDuringJoins(t *testing.T) {
	for _, at := range []struct {
		name string
		wait time.Duration
	}{{"one after the other", time.Second}, {"all at once", 0}} {
		t.Run(at.name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 4, Delay: 2 * time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				names := r.StoreMany(bubble.Fewer(40))
				stop := fetching(t, names, r.Members...)
				var stops []func() (int64, int64)
				for range 5 {
					m := r.Admit()
					r.Start(m)
					stops = append(stops, fetching(t, names, m)) // from its first moment on
					time.Sleep(at.wait)
				}
				r.Ready(r.Members...)
				r.Eventually(time.Minute, "all copies are where they belong", func() bool { return placed(t, r, names) })
				fetched, failed := stop()
				t.Log(fetched, "fetches through old members,", failed, "failed")
				assert.Zero(t, failed)
				for _, stop := range stops {
					fetched, failed := stop()
					t.Log(fetched, "fetches through a new member,", failed, "failed")
				}
			})
		})
	}
}

// placed reports whether each name's holders are its group.
func placed(t *testing.T, r *ringtest.Ring, names []string) bool {
	t.Helper()
	by := r.Up()[0]
	for _, name := range names {
		f, err := by.Stat(t.Context(), name)
		if err != nil || !f.Confirmed || f.Copies < f.Want {
			return false
		}
		group := groupOf(t, r, name)
		voters := 0
		for _, h := range f.Holders {
			if h.Voter {
				voters++
				if !slices.Contains(group, r.Member(h.Machine)) {
					return false
				}
			}
		}
		if voters != len(group) {
			return false
		}
	}
	return true
}

// A join moves about K/N of K files, each once and to the newcomer alone.
func TestAJoinMovesWhatItMust(t *testing.T) {
	o := ringtest.Options{Nodes: 8, Timing: node.Timing{DropAfter: 2 * time.Minute}}
	ringtest.Test(t, o, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(bubble.Fewer(300))
		time.Sleep(2 * time.Minute)
		before := staged(r.Members)
		old := r.Up()
		joined := r.Join()
		r.Eventually(time.Minute, "all copies are where they belong", func() bool { return placed(t, r, names) })
		due := 0
		for _, name := range names {
			if slices.Contains(groupOf(t, r, name), joined) {
				due++
				assert.True(t, joined.Has(name))
			}
		}
		t.Log("of", len(names), "files with three copies each,", due, "moved to the ninth node")
		assert.Less(t, due, 2*3*len(names)/9, "twice a node's share")
		assert.Equal(t, before, staged(old), "copies that were made at others")
		assert.Equal(t, due, joined.Disk.Staged(), "copies that were made at the new one")
		time.Sleep(4 * time.Minute)
		for _, name := range names {
			held := 0
			for _, m := range r.Members {
				if m.Has(name) {
					held++
				}
			}
			assert.Equal(t, 3, held, "copies of %s once those not needed are dropped", name)
		}
	})
}

// A member that has just come does not know what is stored in its part of the
// ring, and says nothing about it.
func TestAuthority(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(5)
		time.Sleep(time.Minute)
		// Its disk is lost, another member is down: nobody can say what is not there.
		r.Crash(r.Members[1])
		r.Lose(r.Members[2])
		r.Start(r.Members[2])
		for range 50 {
			for _, m := range r.Up() {
				_, _, err := ringtest.Fetch(t.Context(), m, "nothing", node.FetchOptions{})
				require.ErrorIs(t, err, node.ErrUnavailable)
				_, _, err = ringtest.Fetch(t.Context(), m, names[0], node.FetchOptions{})
				if err != nil {
					require.ErrorIs(t, err, node.ErrUnavailable)
				}
			}
			time.Sleep(time.Second)
		}
		r.Start(r.Members[1])
		r.Ready(r.Members...)
		for _, m := range r.Members {
			_, _, err := ringtest.Fetch(t.Context(), m, "nothing", node.FetchOptions{})
			require.ErrorIs(t, err, node.ErrNotFound)
		}
		r.Whole(2 * time.Minute)
	})
}

func TestManyJoinAtOnce(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 1, VNodes: 2}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(10)
		for range 4 + bubble.Fewer(8) {
			r.Start(r.Admit())
		}
		start := time.Now()
		r.Ready(r.Members...)
		t.Log("ready after", time.Since(start))
		r.Whole(time.Minute)
		t.Log("three copies of each after", time.Since(start))
		r.Eventually(time.Minute, "all copies are where they belong", func() bool { return placed(t, r, names) })
		t.Log("where they belong after", time.Since(start))
	})
}

func TestAStoreDuringJoins(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Delay: 2 * time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		old := r.Up()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 60 {
				name := "stored meanwhile " + string(rune('a'+i%26)) + string(rune('a'+i/26))
				_, err := old[i%3].Store(t.Context(), name, readerOf("x"), node.StoreOptions{})
				if err == nil {
					r.Acknowledged(name, []byte("x"))
				} else {
					assert.True(t, errors.Is(err, node.ErrUnavailable) || errors.Is(err, node.ErrOutcome), err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		for range 4 {
			r.Join()
		}
		<-done
		r.Whole(time.Minute)
	})
}
