package filestore

import (
	"errors"
	"fmt"
	"time"
)

// A disk that does not answer at all makes whoever waits for it wait for ever. A
// Store waits for hangLimit, much longer than a disk takes that is only busy. Then
// what was asked of it counts as failed, and the store is degraded as after any
// failed sync: nobody knows what became of it, and it may still come about.

// How long a disk may take.
const (
	hangLimit = time.Minute      // for a commit or a sync, and beside that
	hangRate  = 8 << 20          // bytes a second, where content is made durable
	hangEach  = 10 * time.Second // for each file, where many are
)

var errHang = errors.New("the disk does not answer")

// answered returns what f does with the disk, or errSync after hangLimit and more.
// f then goes on by itself; Close waits for it for a while.
func (s *Store) answered(what string, more time.Duration, f func() error) error {
	limit := hangLimit + more
	done := make(chan error, 1)
	s.inflight.Add(1)
	go func() {
		defer s.inflight.Done()
		done <- f()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return s.fail(fmt.Errorf("%s: %w: %w for %v", what, errSync, errHang, limit))
	}
}

// watched begins a read, which is over when done is called. One that takes hangLimit
// degrades the store.
func (s *Store) watched(what string) (done func()) {
	timer := time.AfterFunc(hangLimit, func() {
		_ = s.fail(fmt.Errorf("%s: %w for %v", what, errHang, hangLimit))
	})
	return func() { timer.Stop() }
}

// settled waits for the operations under way; false if the disk does not answer them.
func (s *Store) settled() bool {
	done := make(chan struct{})
	go func() {
		s.inflight.Wait()
		close(done)
	}()
	timer := time.NewTimer(2 * hangLimit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
