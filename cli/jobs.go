package cli

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// With small files most of the time is waiting, which many can do at once; with
// large ones a few use up what the machine has, and more take only memory.
const (
	smallJob  = 1 << 20 // bytes
	autoJobs  = 32      // small ones
	largeCost = 8       // as many as that is a large one
	mostJobs  = 64      // each takes up to two of the connections that a daemon serves
)

// jobs runs files side by side: as many as were asked for, mostJobs at most, or, with
// 0, as many as are worth while.
type jobs struct {
	room  *semaphore.Weighted
	large int64
	all   sync.WaitGroup
}

func newJobs(most int) *jobs {
	if most > 0 {
		return &jobs{room: semaphore.NewWeighted(int64(min(most, mostJobs))), large: 1}
	}
	return &jobs{room: semaphore.NewWeighted(autoJobs), large: largeCost}
}

// enter waits until there is room for one more; false when ctx has ended. Call
// leave once it is true.
func (j *jobs) enter(ctx context.Context, large bool) (leave func(), ok bool) {
	cost := int64(1)
	if large {
		cost = j.large
	}
	if ctx.Err() != nil || j.room.Acquire(ctx, cost) != nil {
		return nil, false
	}
	return func() { j.room.Release(cost) }, true
}

// run does f on a goroutine of its own as soon as there is room; false when ctx
// has ended before.
func (j *jobs) run(ctx context.Context, large bool, f func()) bool {
	leave, ok := j.enter(ctx, large)
	if ok {
		j.all.Go(func() {
			defer leave()
			f()
		})
	}
	return ok
}

func (j *jobs) wait() { j.all.Wait() }
