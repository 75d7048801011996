package watch

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// How many files are published at once, for all folders together: with small ones
// most of the time is waiting for disks that many can share, and with large ones a
// few use up what the machine has.
const (
	maxSmall  = 32
	largeCost = 8       // as many small ones as a large one is worth
	largeFile = 1 << 20 // bytes
)

// costOf is how many slots a file takes.
func costOf(size int64) int64 {
	if size >= largeFile {
		return largeCost
	}
	return 1
}

// cost is how many slots the job takes.
func (j *job) cost() int64 { return costOf(j.print.Size) }

// turn is one folder's part in the slots that all folders share. Folders that find too
// few free wait in line, each with one file: nobody passes them, so that neither many
// files elsewhere nor small ones keep a large one waiting for ever. The watcher's
// goroutine owns it.
type turn struct {
	slots *semaphore.Weighted // of maxSmall
	came  chan int64          // slots that were waited for
	waits bool                // in line
	held  int64               // slots that came and are not used
}

func newTurn(slots *semaphore.Weighted) *turn { return &turn{slots: slots, came: make(chan int64)} }

// take takes slots for a file. False: there are too few; the folder is in line, on a
// goroutine of waiting, and what comes is to be told to arrived.
func (t *turn) take(ctx context.Context, cost int64, waiting *sync.WaitGroup) bool {
	if t.held == cost {
		t.held = 0
		return true
	}
	t.drop() // another file comes first now
	if t.waits {
		return false
	}
	if t.slots.TryAcquire(cost) {
		return true
	}
	t.waits = true
	waiting.Go(func() {
		if t.slots.Acquire(ctx, cost) != nil {
			return
		}
		select {
		case t.came <- cost:
		case <-ctx.Done():
			t.slots.Release(cost)
		}
	})
	return false
}

// arrived takes what came.
func (t *turn) arrived(cost int64) { t.waits, t.held = false, cost }

// drop gives back what came and is not used.
func (t *turn) drop() {
	if t.held > 0 {
		t.release(t.held)
		t.held = 0
	}
}

// release gives slots back.
func (t *turn) release(cost int64) { t.slots.Release(cost) }
