package node

import "sync"

// tasks are goroutines that outlive the call which began them: questions whose
// answers nobody waits for any more, and branches of a fan-out. The node waits
// for them before Run returns.
type tasks struct {
	closing chan struct{} // closed when the node is about to end

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func newTasks() *tasks { return &tasks{closing: make(chan struct{})} }

// run begins f; false when the node is about to end.
func (t *tasks) run(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

// close ends what can be ended and waits for the rest.
func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	close(t.closing)
	t.wg.Wait()
}
