package cli

import (
	"context"
	"sync"
)

// Small files go to the daemon, and come from it, many in one call. Several calls are
// under way, so that there is always something to do for everybody.
const (
	batchFiles = 128
	batchCalls = 2
)

// batches are the calls that deal with a list of small files.
type batches struct {
	items, each, calls int
	all                sync.WaitGroup
}

// newBatches divides items so that no more than most are under way at once, or, with
// 0, as many as are worth while.
func newBatches(most, items int) *batches {
	b := &batches{items: items, each: batchFiles, calls: batchCalls}
	if most > 0 {
		b.each = min(b.each, most)
		b.calls = max(1, min(b.calls, most/b.each))
	}
	return b
}

// run begins to call do with one stretch [from, to) of the list after the other.
func (b *batches) run(ctx context.Context, do func(from, to int)) {
	var mu sync.Mutex
	next := 0
	take := func() (from, to int) {
		mu.Lock()
		defer mu.Unlock()
		from, to = next, min(next+b.each, b.items)
		next = to
		return from, to
	}
	for range b.calls {
		b.all.Go(func() {
			for ctx.Err() == nil {
				from, to := take()
				if from == to {
					return
				}
				do(from, to)
			}
		})
	}
}

func (b *batches) wait() { b.all.Wait() }

// split divides a list in two, in its order.
func split[T any](list []T, first func(T) bool) (a, b []T) {
	for _, x := range list {
		if first(x) {
			a = append(a, x)
		} else {
			b = append(b, x)
		}
	}
	return a, b
}
