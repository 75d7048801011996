package filestore

import "sync"

// batcher lets many callers share one run of something slow, such as a sync:
// while one run is under way the callers that arrive queue up, and the first
// of them then runs for all.
type batcher[T any] struct {
	run  func([]T) error
	turn chan struct{} // holds one token while a run is under way

	mu    sync.Mutex
	queue []*job[T]
}

// job is one caller's share. done and err are written by whoever has the turn.
type job[T any] struct {
	arg  T
	done bool
	err  error
}

func newBatcher[T any](run func([]T) error) *batcher[T] {
	return &batcher[T]{run: run, turn: make(chan struct{}, 1)}
}

// do returns the result of a run that began after the call and had arg in it.
func (b *batcher[T]) do(arg T) error {
	mine := &job[T]{arg: arg}
	b.mu.Lock()
	b.queue = append(b.queue, mine)
	b.mu.Unlock()

	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if mine.done {
		return mine.err
	}
	b.mu.Lock()
	jobs := b.queue
	b.queue = nil
	b.mu.Unlock()

	args := make([]T, len(jobs))
	for i, j := range jobs {
		args[i] = j.arg
	}
	err := b.run(args)
	for _, j := range jobs {
		j.done, j.err = true, err
	}
	return err
}
