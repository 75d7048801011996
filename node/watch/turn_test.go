package watch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"
)

// folder is what a test has publish files.
type folder struct {
	*turn
	t       *testing.T
	ctx     context.Context
	waiting sync.WaitGroup
}

func (f *folder) begin(cost int64) bool { return f.take(f.ctx, cost, &f.waiting) }

// gets reports whether what the folder waits for has come.
func (f *folder) gets() bool {
	synctest.Wait()
	select {
	case cost := <-f.came:
		f.arrived(cost)
		return true
	default:
		return false
	}
}

// folders runs f with folders that share the slots, and checks that none is left taken.
func folders(t *testing.T, f func(t *testing.T, of func() *folder)) {
	synctest.Test(t, func(t *testing.T) {
		slots := semaphore.NewWeighted(maxSmall)
		ctx, cancel := context.WithCancel(t.Context())
		var all []*folder
		f(t, func() *folder {
			all = append(all, &folder{turn: newTurn(slots), t: t, ctx: ctx})
			return all[len(all)-1]
		})
		cancel()
		for _, x := range all {
			x.waiting.Wait()
			x.drop()
		}
		assert.True(t, slots.TryAcquire(maxSmall), "all slots are free in the end")
	})
}

// A folder with nothing but large files gets its turn while another has more small ones
// than there are slots, and begins one wherever one has ended.
func TestSmallFilesDoNotPassALargeOne(t *testing.T) {
	folders(t, func(t *testing.T, of func() *folder) {
		small, large := of(), of()
		for range maxSmall {
			require.True(t, small.begin(1))
		}
		require.False(t, large.begin(largeCost))
		synctest.Wait() // it is in line
		for range largeCost {
			assert.False(t, large.gets())
			small.release(1)
			assert.False(t, small.begin(1), "it waits behind the large one")
		}
		require.True(t, large.gets())
		require.True(t, large.begin(largeCost))
		assert.False(t, small.gets())
		large.release(largeCost)
		require.True(t, small.gets(), "and not for ever")
		require.True(t, small.begin(1))
		small.release(maxSmall - largeCost + 1)
	})
}

// Folders take turns, however much each has to publish.
func TestFoldersTakeTurns(t *testing.T) {
	folders(t, func(t *testing.T, of func() *folder) {
		a, b := of(), of()
		for range maxSmall {
			require.True(t, a.begin(1))
		}
		require.False(t, b.begin(1))
		synctest.Wait()
		require.False(t, a.begin(1))
		for range 3 {
			a.release(1)
			require.True(t, b.gets())
			require.True(t, b.begin(1))
			require.False(t, b.begin(1))
			synctest.Wait()
			b.release(1)
			require.True(t, a.gets())
			require.True(t, a.begin(1))
			require.False(t, a.begin(1))
			synctest.Wait()
		}
		a.release(maxSmall)
	})
}

// What comes for a file that is not the next one any more goes to others, and whoever
// stops waiting takes nothing.
func TestSlotsThatAreNotUsedAreGivenBack(t *testing.T) {
	folders(t, func(t *testing.T, of func() *folder) {
		a, b := of(), of()
		for range maxSmall {
			require.True(t, a.begin(1))
		}
		require.False(t, b.begin(1))
		a.release(largeCost)
		require.True(t, b.gets())
		require.True(t, b.begin(largeCost), "the small one's slot among them")
		require.False(t, b.begin(largeCost))
		synctest.Wait()
		a.release(maxSmall - largeCost)
		b.release(largeCost)
	})
}
