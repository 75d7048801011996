package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// A large content is read from several holders at once where that is faster: where
// what the holders can send is less than what this node can take. Whether it is, is
// found out: one holder alone first, then several; the slower way is given up.

const (
	stripeLanes    = 3   // holders at once
	segmentChunks  = 4   // that one lane reads in one go
	stripeWarm     = 4   // chunks of one holder that are not measured
	stripeAfter    = 16  // chunks of one holder, after which several are tried
	stripeSettle   = 12  // chunks of several that are not measured
	stripeMeasure  = 16  // chunks of several that are
	stripeGain     = 1.2 // as fast as one holder: as much several must be
	stripedFetches = 2   // at once in a node: each has (stripeLanes+1)*segmentChunks chunks in memory
	leastPatience  = 100 * time.Millisecond
)

// gauge measures a pull to find out whether several holders are faster.
type gauge struct {
	wanted  bool // the reader has use for it
	settled bool // it is known
	chunks  int
	since   time.Time
	alone   float64 // chunks a second of one holder
}

// widen decides before each chunk whether it is to come from one holder or several.
func (p *pull) widen() {
	g := &p.gauge
	if !g.wanted || g.settled || p.current == nil {
		return
	}
	rate := func(chunks int) float64 {
		return float64(chunks) / max(time.Since(g.since), time.Microsecond).Seconds()
	}
	several, wide := p.current.(*stripes)
	switch {
	case g.chunks == stripeWarm && !wide, g.chunks == stripeSettle && wide:
		g.since = time.Now()
	case g.chunks == stripeAfter && !wide:
		g.alone = rate(stripeAfter - stripeWarm)
		if g.settled = !p.spread(); !g.settled {
			g.chunks = 0
		}
	case g.chunks == stripeSettle+stripeMeasure && wide:
		if g.settled = true; rate(stripeMeasure) < stripeGain*g.alone {
			p.narrow(several)
		}
	}
	g.chunks++
}

// spread goes on with several holders; false: there are no others, or too little
// is left to read.
func (p *pull) spread() bool {
	self := func(c candidate) bool { return c.machine == p.node.self() || c.check }
	if p.hashes == nil || self(p.using) || slices.ContainsFunc(p.sources, self) || len(p.sources) == 0 || p.last-p.next < 2*stripeAfter {
		return false
	}
	select {
	case p.node.coding.several <- struct{}{}:
	default:
		return false
	}
	n := min(stripeLanes-1, len(p.sources))
	from := append([]candidate{p.using}, p.sources[:n]...)
	p.close()
	p.sources = slices.Clone(p.sources[n:])
	p.current = newStripes(p, from)
	return true
}

// narrow goes back to the first holder.
func (p *pull) narrow(s *stripes) {
	p.close()
	p.sources = append(s.working(), p.sources...)
}

// stripes reads one content from several holders at once, in order. Its memory is
// bounded: only a window of segments is worked on. It is a source.
type stripes struct {
	pull   *pull
	ctx    context.Context
	cancel context.CancelFunc
	lanes  sync.WaitGroup

	work     chan *segment
	urgent   chan *segment // what a lane has left undone
	finished chan *segment // has room for all that end between two chunks
	free     chan []byte

	// What follows belongs to the reader.
	queue   []*segment // in order
	next    int64      // chunk that no segment has yet
	given   []byte     // what chunk gave out last
	from    []candidate
	failed  map[MachineID]bool
	typical time.Duration // that a segment took of late
}

// segment is a few chunks that one lane reads.
type segment struct {
	first, last int64
	out         chan []byte // closed at its end, which may be too early
	stop        context.CancelFunc
	ctx         context.Context

	// Written before finished is told.
	by   candidate
	took time.Duration
	err  error

	// The reader's.
	next int64 // chunk to come out
	late bool  // it was stopped
	done bool  // finished was told
}

func newStripes(p *pull, from []candidate) *stripes {
	ctx, cancel := context.WithCancel(p.ctx)
	window := len(from) + 1
	s := &stripes{
		pull: p, ctx: ctx, cancel: cancel,
		work: make(chan *segment, window), urgent: make(chan *segment, window), finished: make(chan *segment, 2*window),
		free: make(chan []byte, (window+1)*segmentChunks), next: p.next, from: from, failed: map[MachineID]bool{},
	}
	for range window {
		s.extend()
	}
	for _, c := range from {
		if label := p.node.members.label(c.machine); !slices.Contains(p.from, label) {
			p.from = append(p.from, label)
		}
		lane := pull{node: p.node, ctx: ctx, record: p.record, blind: p.blind, hashes: p.hashes}
		s.lanes.Go(func() { s.read(c, lane) })
	}
	return s
}

// segment makes a segment of chunks.
func (s *stripes) segment(first, last int64) *segment {
	ctx, stop := context.WithCancel(s.ctx)
	return &segment{first: first, next: first, last: last, out: make(chan []byte, last-first), ctx: ctx, stop: stop}
}

// extend hands out another segment, if any is left.
func (s *stripes) extend() {
	last := min(s.next+segmentChunks, s.pull.last)
	if s.next == last {
		return
	}
	seg := s.segment(s.next, last)
	s.next = last
	s.queue = append(s.queue, seg)
	s.work <- seg
}

// read is one lane: it reads segments from one holder until that fails.
func (s *stripes) read(c candidate, p pull) {
	for {
		var seg *segment
		select {
		case seg = <-s.urgent:
		default:
			select {
			case seg = <-s.urgent:
			case seg = <-s.work:
			case <-s.ctx.Done():
				return
			}
		}
		start := time.Now()
		p.ctx, p.next, p.last = seg.ctx, seg.first, seg.last
		seg.err = s.fill(c, &p, seg)
		if damaged(seg.err) && !c.check { // it finds out for itself, and gives its copy up
			c.check = true
			seg.err = s.fill(c, &p, seg)
		}
		seg.stop()
		seg.by, seg.took = c, time.Since(start)
		err := seg.err
		close(seg.out)
		s.finished <- seg
		if err != nil {
			return
		}
	}
}

// fill reads what is missing of a segment.
func (s *stripes) fill(c candidate, p *pull, seg *segment) error {
	from, err := p.node.openSource(seg.ctx, c, p)
	if err != nil {
		return err
	}
	defer from.close()
	for ; p.next < p.last; p.next++ {
		raw, err := from.chunk()
		if err != nil {
			return err
		}
		seg.out <- append(s.buffer(), raw...)
	}
	return nil
}

func (s *stripes) buffer() []byte {
	select {
	case b := <-s.free:
		return b[:0]
	default:
		return nil
	}
}

// chunk returns the next chunk. A lane that fails, or holds up all others, is left
// out from then on; the error says that none is left.
func (s *stripes) chunk() ([]byte, error) {
	if s.given != nil {
		select {
		case s.free <- s.given:
		default:
		}
		s.given = nil
	}
	patience := time.NewTimer(0)
	defer patience.Stop()
	waiting := false
	s.catchUp()
	for {
		head := s.queue[0]
		if !head.done && len(s.failed) == len(s.from) {
			return nil, errAllFailed // nobody is left to read it
		}
		var late <-chan time.Time
		if s.holdsUp(head) {
			if !waiting {
				patience.Reset(max(leastPatience, s.typical))
				waiting = true
			}
			late = patience.C
		}
		select {
		case raw, more := <-head.out:
			if more {
				return s.give(head, raw), nil
			}
			for !head.done {
				s.note(<-s.finished)
			}
			s.replace(head)
			waiting = false
		case seg := <-s.finished:
			s.note(seg)
		case <-late:
			head.late = true
			head.stop()
			waiting = false
			s.typical = max(2*s.typical, leastPatience) // it may be the measure that is wrong
		case <-s.ctx.Done():
			return nil, context.Cause(s.ctx)
		}
	}
}

// give passes a chunk of the first segment on, and hands out another segment when it
// was the last.
func (s *stripes) give(head *segment, raw []byte) []byte {
	s.given = raw
	if head.next++; head.next == head.last {
		s.queue = s.queue[1:]
		s.extend()
	}
	return raw
}

// catchUp notes all that has ended. With what ends until the next chunk is asked for
// that is never more than finished has room for.
func (s *stripes) catchUp() {
	for {
		select {
		case seg := <-s.finished:
			s.note(seg)
		default:
			return
		}
	}
}

// note learns how a segment has ended, and with an error its lane.
func (s *stripes) note(seg *segment) {
	seg.done = true
	switch {
	case seg.err == nil && s.typical == 0:
		s.typical = seg.took
	case seg.err == nil:
		s.typical = (3*s.typical + seg.took) / 4
	case seg.late:
		s.failed[seg.by.machine] = true
		s.pull.sources = append(s.pull.sources, seg.by) // better than none
	default:
		s.failed[seg.by.machine] = true
		s.pull.failed(seg.by.machine, seg.err)
		s.pull.retryLater(seg.by.machine)
	}
}

// holdsUp reports whether all that is worked on but the first segment is there.
func (s *stripes) holdsUp(head *segment) bool {
	return len(s.queue) > 1 && !head.done && !slices.ContainsFunc(s.queue[1:], func(o *segment) bool { return !o.done })
}

var errAllFailed = errors.New("none of several holders is left")

// replace has another lane read what one has left undone.
func (s *stripes) replace(head *segment) {
	rest := s.segment(head.next, head.last)
	s.queue[0] = rest
	s.urgent <- rest
}

// working are the holders that have not failed.
func (s *stripes) working() []candidate {
	return slices.DeleteFunc(slices.Clone(s.from), func(c candidate) bool { return s.failed[c.machine] })
}

func (s *stripes) close() {
	s.cancel()
	s.lanes.Wait()
	<-s.pull.node.coding.several
}
