package transfer

import (
	"sync"
	"time"
)

// heartbeat calls a function at intervals, each in a goroutine of its own that ends
// with the call, until it is stopped.
type heartbeat struct {
	mu    sync.Mutex
	over  bool
	timer *time.Timer
}

func startHeartbeat(every time.Duration, beat func()) *heartbeat {
	h := new(heartbeat)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(every, func() {
		beat()
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.over {
			h.timer.Reset(every)
		}
	})
	return h
}

// stop ends it; a call under way goes on to its end.
func (h *heartbeat) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	h.timer.Stop()
}
