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
// of chunks: while compressing, if the writer was kept waiting for chunks more than
// it was busy, the compressor may be the slower; then a window is sent raw, and the
// way that moved more raw bytes a second is kept. The other is tried again after a
// pause that doubles each time it loses.
type pace struct {
	mu    sync.Mutex
	raw   bool // the way being used
	trial bool // only to be compared with other
	pause int
	left  int     // chunks until the next trial
	other float64 // speed of the other way, raw bytes a second

	chunks  int
	bytes   int
	writing time.Duration
	since   time.Time
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
	p.chunks, p.bytes, p.writing, p.since = 0, 0, 0, now
}

// sent counts a chunk whose writing took some time.
func (p *pace) sent(raw int, writing time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chunks++
	p.bytes += raw
	p.writing += writing
	p.left--
	if p.chunks < paceWindow {
		return
	}
	now := time.Now()
	elapsed := max(now.Sub(p.since), time.Microsecond)
	speed := float64(p.bytes) / elapsed.Seconds()
	linkBound := p.writing > elapsed/2
	p.begin(now)
	switch {
	case p.trial && speed > p.other: // the other way it is
		p.trial, p.pause, p.left = false, firstPause, firstPause
	case p.trial:
		p.turn(speed)
		p.trial, p.pause = false, min(2*max(p.pause, firstPause), longPause)
		p.left = p.pause
	case p.left <= 0 && (p.raw || !linkBound):
		p.turn(speed)
		p.trial = true
	}
}

// turn changes the way; speed is that of the one used until now.
func (p *pace) turn(speed float64) { p.raw, p.other = !p.raw, speed }
