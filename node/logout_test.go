package node_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

func readerOf(s string) io.Reader { return strings.NewReader(s) }

func TestAllButOneLogOut(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 6, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(30)
		r.Store(r.Members[0], "large", noise(1, 3*filestore.ChunkSize+1), node.StoreOptions{})
		stop := fetching(t, names, r.Members[5])
		for _, m := range r.Members[:5] {
			report, err := m.Logout(t.Context(), time.Minute)
			require.NoError(t, err)
			assert.Empty(t, report.Short)
			assert.Less(t, report.Elapsed, 30*time.Second)
			r.Ended(m)
			assert.ErrorIs(t, m.Membership.Departed(), trust.ErrDeparted)
			assert.Empty(t, r.Lacks(), "when %s has left", m.Host)
			for _, other := range r.Up() {
				r.Eventually(20*time.Second, "it is no member any more", func() bool {
					return len(other.Members(t.Context())) == len(r.Up())
				})
			}
		}
		fetched, failed := stop()
		t.Log(fetched, "fetches,", failed, "failed")
		assert.Zero(t, failed)
		_, err := r.Members[5].Logout(t.Context(), time.Minute)
		assert.ErrorIs(t, err, node.ErrLastMember)
	})
}

// A logout moves each file of the node once, and no other.
func TestALogoutMovesWhatItMust(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 8}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(bubble.Fewer(200))
		r.Whole(time.Minute)
		leaving := r.Members[3]
		due := 0
		for _, name := range names {
			if leaving.Has(name) {
				due++
			}
		}
		before := staged(r.Others(leaving))
		report, err := leaving.Logout(t.Context(), time.Minute)
		require.NoError(t, err)
		r.Ended(leaving)
		assert.Empty(t, report.Short)
		assert.Equal(t, due, report.Moved)
		assert.Equal(t, due, staged(r.Up())-before, "copies made")
		assert.Empty(t, r.Lacks())
		for _, name := range names {
			assert.False(t, leaving.Has(name), "%s was confirmed elsewhere", name)
		}
	})
}

func TestALeavingNodeTakesNothingNew(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: 5 * time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.StoreMany(30)
		leaving := r.Members[2]
		ended := make(chan error, 1)
		go func() {
			_, err := leaving.Logout(t.Context(), time.Minute)
			ended <- err
		}()
		time.Sleep(12 * time.Millisecond) // all others know, and it hands over
		before := leaving.Disk.Staged()
		_, err := leaving.Store(t.Context(), "new", readerOf("x"), node.StoreOptions{})
		assert.ErrorIs(t, err, node.ErrLeaving)
		for i := range 20 {
			r.Store(r.Members[i%2], "new "+string(rune('a'+i)), []byte("x"), node.StoreOptions{})
		}
		assert.Equal(t, before, leaving.Disk.Staged(), "new files at the leaving node")
		require.NoError(t, <-ended)
		r.Ended(leaving)
		r.Whole(time.Minute)
	})
}

// What is asked of a node until it is gone either happens or is refused in a way
// after which a client asks another: also once nobody speaks to it any more.
func TestChangesThroughANodeThatLeaves(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: 5 * time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.StoreMany(20)
		leaving := r.Members[2]
		var gone atomic.Bool
		var work sync.WaitGroup
		var refused atomic.Int32
		for k := range 4 {
			work.Go(func() {
				for i := k; !gone.Load(); i += 4 {
					err := leaving.Delete(t.Context(), fmt.Sprint("never stored ", i), node.NewOp(), 0)
					if errors.Is(err, node.ErrNotFound) || err == nil {
						continue
					}
					refused.Add(1)
					assert.True(t, errors.Is(err, node.ErrLeaving) || errors.Is(err, node.ErrOutcome) || errors.Is(err, node.ErrUnavailable), "%v", err)
					time.Sleep(time.Millisecond)
				}
			})
		}
		r.Blackout(r.Members[4]) // which the node waits for at the end, when all others know
		_, err := leaving.Logout(t.Context(), time.Minute)
		require.NoError(t, err)
		gone.Store(true)
		work.Wait()
		r.Ended(leaving)
		t.Log(refused.Load(), "refused")
		assert.NotZero(t, refused.Load())
	})
}

// A logout that cannot finish in time says which files lack copies.
func TestLogoutInAHurry(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("x"), node.StoreOptions{})
		r.Crash(r.Members[2])
		report, err := r.Members[1].Logout(t.Context(), 20*time.Second)
		require.NoError(t, err)
		assert.Equal(t, []string{"file"}, report.Short)
		assert.Less(t, report.Elapsed, 30*time.Second)
		r.Ended(r.Members[1])
		assert.True(t, r.Members[1].Has("file"), "a copy that is wanted is not deleted, though the only voter confirms its own")
		r.Start(r.Members[2])
		r.Ready(r.Members[2])
		r.Whole(time.Minute)
	})
}

// What an heir has no room for is not deleted by who leaves.
func TestLogoutWithAFullHeir(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", noise(1, 100_000), node.StoreOptions{})
		r.Whole(time.Minute)
		group := groupOf(t, r, "file")
		heir := memberAfter(r, group[2], 1)
		heir.Disk.SetCapacity(10_000)
		report, err := group[1].Logout(t.Context(), 20*time.Second)
		require.NoError(t, err)
		r.Ended(group[1])
		assert.Equal(t, []string{"file"}, report.Short)
		assert.True(t, group[1].Has("file"))
		heir.Disk.SetCapacity(math.MaxInt64)
		r.Whole(2 * time.Minute)
	})
}

func TestACrashDuringLogout(t *testing.T) {
	for _, after := range bubble.Some([]time.Duration{30, 400, 5, 15, 60, 120}, 2) {
		ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: 3 * time.Millisecond, Seed: uint64(after)}, func(t *testing.T, r *ringtest.Ring) {
			r.StoreMany(20)
			r.Whole(time.Minute)
			leaving := r.Members[2]
			ended := make(chan struct{})
			go func() {
				_, _ = leaving.Logout(t.Context(), time.Minute)
				close(ended)
			}()
			time.Sleep(after * time.Millisecond)
			r.Crash(leaving)
			<-ended
			if leaving.Membership.Departed() == nil {
				r.Start(leaving)
				r.Ready(leaving)
			}
			r.Whole(3 * time.Minute)
		})
	}
}
