package transfer

import (
	"sync"
	"time"
)

const (
	paceWindow = 8    // chunks that are measured together
	firstPause = 64   // chunks until the other way is tried again
	longPause  = 1024 // at most
)

// pace decides whether compressing is worth while on a link. It measures windows
// of chunks: one is sent the other way, and the way that moved more raw bytes a
// second is kept. The other is tried again after a pause that doubles each time it
// loses. That the writer is kept waiting says nothing: it may be the link that is
// slow, or a far side that is busy, and more so with chunks that it has to expand.
type pace struct {
	mu    sync.Mutex
	raw   bool // the way being used
	trial bool // only to be compared with other
	pause int
	left  int     // chunks until the next trial
	other float64 // speed of the other way, raw bytes a second

	chunks int
	bytes  int
	since  time.Time
}

// compress tells whether the next chunk is to be compressed.
func (p *pace) compress() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.raw
}

// restart begins a new window, since time has passed that says nothing.
func (p *pace) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin(time.Now())
}

func (p *pace) begin(now time.Time) {
	p.chunks, p.bytes, p.since = 0, 0, now
}

// sent counts a chunk that was written.
func (p *pace) sent(raw int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chunks++
	p.bytes += raw
	p.left--
	if p.chunks < paceWindow {
		return
	}
	now := time.Now()
	elapsed := max(now.Sub(p.since), time.Microsecond)
	speed := float64(p.bytes) / elapsed.Seconds()
	p.begin(now)
	switch {
	case p.trial && speed > p.other: // the other way it is
		p.trial, p.pause, p.left = false, firstPause, firstPause
	case p.trial:
		p.turn(speed)
		p.trial, p.pause = false, min(2*max(p.pause, firstPause), longPause)
		p.left = p.pause
	case p.left <= 0:
		p.turn(speed)
		p.trial = true
	}
}

// turn changes the way; speed is that of the one used until now.
func (p *pace) turn(speed float64) { p.raw, p.other = !p.raw, speed }
