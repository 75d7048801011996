package transfer

import (
	"sync"
	"time"
)

const (
	paceFirst   = 16    // chunks before the first trial
	paceFull    = 48    // compressed chunks that fill all buffers on the way
	paceWindow  = 8     // chunks of a trial that are measured, after as many that are not
	paceMemory  = 16    // chunks over which the speed of the way in use is averaged
	paceMargin  = 1.1   // by which the other way must be faster
	paceChange  = 2     // times as fast as before says that something has changed
	paceShrinks = 0.9   // what is left of content for which the two ways differ
	paceSlow    = 150e6 // raw bytes a second that are slow
	paceBlocked = 0.75  // share of the time in which a link that is the limit keeps its writer
	firstRest   = 16    // the least time between trials, in times of what one takes
	longestRest = 128   // at most
)

// pace decides whether compressing is worth while on a link. Now and then some
// chunks are sent the other way, and the way that moved more raw bytes a second
// is kept. That the writer is kept waiting says little: it may be the link that
// is slow, or a far side that is busy, and more so with chunks that it has to
// expand. Only where next to nothing else takes time and little comes through, no
// trial is made, as it would cost seconds.
//
// A trial begins and ends with chunks that are not measured, since what lies in
// buffers on the way was made the way before. It ends as soon as it is lost, and the
// next is the later the longer it took, twice as late each time: trials cost at most
// a sixteenth of the time. It comes early when the way in use has become slower than
// the other was, or when something has changed: it is much faster than before, or the
// link is no longer the limit. Content that does not shrink goes equally fast
// either way and tells nothing.
type pace struct {
	mu      sync.Mutex
	raw     bool          // the way in use
	trial   int           // chunks of the trial under way; 0: none; below: until its effects are gone
	current speed         // of the way in use, in a trial since the last reset
	kept    speed         // of the way to go back to after a trial
	other   float64       // speed of the other way when it was given up; 0: unknown
	base    float64       // speed of the way in use soon after the last trial; 0: unknown
	bound   bool          // since the last trial the link was all that took time
	since   time.Duration // spent sending since the last trial
	pause   time.Duration // until the next
	seen    int           // chunks before the first trial
	fresh   int           // chunks of this content
	rest    int           // pause in times of the last trial
	last    time.Time     // when the last chunk was sent
}

// speed adds up chunks that went one way.
type speed struct {
	chunks  int
	raw     float64 // bytes
	payload float64 // bytes
	took    time.Duration
	blocked time.Duration // of that, in which the writer waited for the link
}

func (s *speed) add(raw, payload int, took, blocked time.Duration) {
	if s.chunks == paceMemory { // the older half counts half
		s.chunks, s.raw, s.payload, s.took, s.blocked = s.chunks/2, s.raw/2, s.payload/2, s.took/2, s.blocked/2
	}
	s.chunks++
	s.raw += float64(raw)
	s.payload += float64(payload)
	s.took += took
	s.blocked += blocked
}

// rate is in raw bytes a second.
func (s *speed) rate() float64 { return s.raw / max(s.took, time.Microsecond).Seconds() }

func (s *speed) shrank() bool { return s.payload < paceShrinks*s.raw }

// linkBound reports whether the link is all that takes time.
func (s *speed) linkBound() bool {
	return s.rate() < paceSlow && s.blocked.Seconds() > paceBlocked*s.took.Seconds()
}

// compress tells whether the next chunk is to be compressed.
func (p *pace) compress() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.raw
}

// restart begins another content: time has passed in which nothing was to be sent.
func (p *pace) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	if p.trial > 0 {
		p.raw = !p.raw
	}
	p.trial, p.fresh, p.current = 0, 0, speed{}
}

// sent counts a chunk that was written, and for how long the writer waited. Those
// that are not whole say little.
func (p *pace) sent(raw, payload int, blocked time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	took := now.Sub(p.last)
	p.last = now
	if raw < MaxChunk {
		return
	}
	p.since += took
	if p.trial < 0 {
		if p.trial++; p.trial == 0 {
			p.pause, p.since = time.Duration(p.rest)*p.since, 0
		}
		return
	}
	p.current.add(raw, payload, took, blocked)
	p.seen = min(p.seen+1, paceFirst)
	p.fresh++
	switch {
	case p.trial > 0:
		p.judge()
	case p.current.chunks >= paceWindow && p.due():
		p.turn()
	}
}

// due tells whether the other way is to be tried.
func (p *pace) due() bool {
	rate := p.current.rate()
	if p.base == 0 {
		p.base = rate
	}
	switch {
	case !p.raw && !p.current.shrank(): // there is nothing to be won
		return false
	case !p.raw && p.current.linkBound():
		p.bound = true
		return false
	case p.seen < paceFirst:
		return false
	case p.since >= p.pause:
		return true
	}
	changed := p.fresh >= paceFull && (p.bound || rate > paceChange*p.base)
	return p.since >= p.pause/4 && (rate < p.other || changed)
}

// judge looks at a trial after each of its chunks.
func (p *pace) judge() {
	p.trial++
	way := p.kept.rate()
	limit := time.Duration(2 * paceWindow * MaxChunk / way * float64(time.Second))
	switch {
	case p.current.took > limit: // slower by far
		p.lose()
	case p.trial == 1+paceWindow: // what was under way has gone
		p.current = speed{}
	case p.trial <= 2*paceWindow:
	case !p.raw && !p.current.shrank():
		p.rest /= 2
		p.lose()
		p.other = 0
	case p.current.rate() > paceMargin*way:
		p.rest, p.other = firstRest, way
		p.end()
	default:
		p.lose()
	}
}

// turn begins a trial.
func (p *pace) turn() {
	p.kept, p.current = p.current, speed{}
	p.raw = !p.raw
	p.trial, p.since, p.bound = 1, 0, false
}

// lose ends a trial by going back to the way that was in use.
func (p *pace) lose() {
	p.rest = min(max(firstRest, 2*p.rest), longestRest)
	p.other = p.current.rate()
	p.raw = !p.raw
	p.end()
}

// end has the way in use measured anew.
func (p *pace) end() { p.current, p.base, p.trial = speed{}, 0, -paceWindow }
