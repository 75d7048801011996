package transfer

import (
	"fmt"
	"sync"
)

const (
	maxOutbox  = 8 << 20   // bytes waiting to be written
	keepOutbox = 256 << 10 // bytes of memory kept between writes
)

// outbox collects the frames of a control connection. Whoever has a frame never
// waits for the network; one goroutine writes all that has come together at once.
type outbox struct {
	kick chan struct{} // capacity 1: there is something

	mu  sync.Mutex
	buf []byte
}

func newOutbox() *outbox { return &outbox{kick: make(chan struct{}, 1)} }

// add queues a frame, or fails with [ErrBusy] if the peer takes nothing more.
func (o *outbox) add(t frameType, parts ...[]byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) > maxOutbox {
		return fmt.Errorf("%w: %d bytes wait to be sent", ErrBusy, len(o.buf))
	}
	o.buf = appendFrame(o.buf, t, parts...)
	select {
	case o.kick <- struct{}{}:
	default:
	}
	return nil
}

// run writes until done is closed or a write fails.
func (o *outbox) run(w *wire, done <-chan struct{}) error {
	var spare []byte
	for {
		select {
		case <-o.kick:
		case <-done:
			return nil
		}
		o.mu.Lock()
		full := o.buf
		o.buf = spare[:0]
		o.mu.Unlock()
		if _, err := (wireWriter{w}).Write(full); err != nil {
			return err
		}
		if spare = full; cap(spare) > keepOutbox {
			spare = nil
		}
	}
}
