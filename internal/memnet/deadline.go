package memnet

import (
	"sync"
	"time"
)

// deadline is a time after which a channel is closed.
type deadline struct {
	mu    sync.Mutex
	turn  int // of set; a timer of an earlier one does nothing
	timer *time.Timer
	over  bool
	ch    chan struct{}
}

func newDeadline() deadline { return deadline{ch: make(chan struct{})} }

// passed returns a channel that is closed once the deadline has passed.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ch
}

// set replaces the deadline, for operations under way too. The zero time is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	wait := time.Until(t)
	if !t.IsZero() && wait <= 0 {
		d.pass()
		return
	}
	if d.over {
		d.over, d.ch = false, make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	turn := d.turn
	d.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.turn == turn {
			d.pass()
		}
	})
}

// pass closes the channel; d.mu is held.
func (d *deadline) pass() {
	if !d.over {
		d.over = true
		close(d.ch)
	}
}
