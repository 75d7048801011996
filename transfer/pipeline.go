package transfer

import (
	"context"
	"runtime"
	"sync"
)

// maxWorkers bounds the goroutines, and so the memory, of one pipeline: at most
// maxWorkers+3 chunks are in it.
const maxWorkers = 4

// task is a value on its way through a pipeline.
type task[T any] struct {
	v    T
	done chan struct{} // closed when it was worked on
}

// pipeline lets produce emit values on one goroutine, work on them on several, and
// consumes them in order on the caller's. Each value is released once, consumed or
// not. After an error of produce, what was emitted before is still consumed. When
// consume fails or ctx ends, pipeline returns without waiting for produce, whose
// next emit fails.
func pipeline[T any](ctx context.Context, produce func(emit func(T) error) error, work func(T), consume func(T) error, release func(T)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	jobs := make(chan task[T])           // to the workers
	order := make(chan task[T], workers) // the same as they were emitted
	var pool sync.WaitGroup
	for range workers {
		pool.Go(func() {
			for t := range jobs {
				work(t.v)
				close(t.done)
			}
		})
	}
	emit := func(v T) error {
		t := task[T]{v, make(chan struct{})}
		select {
		case jobs <- t:
		case <-ctx.Done():
			release(v)
			return context.Cause(ctx)
		}
		select {
		case order <- t:
		case <-ctx.Done():
			<-t.done
			release(v)
			return context.Cause(ctx)
		}
		return nil
	}
	var produced error
	go func() {
		defer close(order)
		defer close(jobs)
		produced = produce(emit)
	}()
	err := consumeAll(ctx, order, consume, release)
	if err != nil {
		go func() { // produce may be blocked in a read for as long as that takes
			for t := range order {
				<-t.done
				release(t.v)
			}
		}()
		return err
	}
	pool.Wait()
	return produced
}

// consumeAll consumes until order is closed, consume fails or ctx ends.
func consumeAll[T any](ctx context.Context, order <-chan task[T], consume func(T) error, release func(T)) error {
	for {
		select {
		case t, ok := <-order:
			if !ok {
				return nil
			}
			<-t.done // a worker has it; that is quick
			err := context.Cause(ctx)
			if err == nil {
				err = consume(t.v)
			}
			release(t.v)
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
