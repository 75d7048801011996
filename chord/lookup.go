package chord

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ErrUnreachable reports a lookup that found nobody who owns the key.
var ErrUnreachable = errors.New("chord: owner not reachable")

// A lookup that fails starts over, since the ring may be healing: as often as
// this, after pauses that begin with firstPause and double up to lastPause.
const (
	lookupTries = 8
	firstPause  = 100 * time.Millisecond
	lastPause   = 2 * time.Second
)

// Lookup is where a key belongs, as the ring stood when it was asked. The caller
// owns it.
type Lookup struct {
	Key   ID
	Owner Peer
	// After is the owner's predecessor: the owner holds the range (After,
	// Owner.ID]. In a ring of one it is Owner.ID, and the range the whole ring.
	After ID
	// Successors follow the owner, in the order of the ring.
	Successors []Peer
	// Hops are the peers asked, in order; the last one is the owner unless Vouched.
	// A key of an own position takes none.
	Hops []Hop
	// Vouched says that the owner has not answered this machine for some seconds,
	// and that those next to it say it is there.
	Vouched bool
}

// Hop is one question of a lookup.
type Hop struct {
	Peer Peer
	RTT  time.Duration // until the answer, or until it was given up
	Err  error         // nil if it answered
}

// Group returns the first n distinct machines from the owner on, each by its
// first position; fewer if the owner knows of fewer.
func (l Lookup) Group(n int) []Peer {
	var group []Peer
	seen := make(map[MachineID]bool)
	for _, p := range append([]Peer{l.Owner}, l.Successors...) {
		if len(group) < n && !seen[p.Machine] {
			seen[p.Machine] = true
			group = append(group, p)
		}
	}
	return group
}

// Lookup finds the owner of key. It tries again while the ring heals, for some
// seconds or until ctx ends; then the error is ErrUnreachable, and that of ctx,
// and the Lookup has the Hops of the last attempt.
func (r *Ring) Lookup(ctx context.Context, key ID) (Lookup, error) {
	pause := firstPause
	for try := 1; ; try++ {
		l, ok := r.lookup(ctx, key)
		if ok {
			return l, nil
		}
		if ctx.Err() != nil {
			return l, fmt.Errorf("look up %s: %w: %w", key.Short(), ErrUnreachable, context.Cause(ctx))
		}
		if try == lookupTries {
			return l, fmt.Errorf("look up %s: %w", key.Short(), ErrUnreachable)
		}
		r.mu.Lock()
		wait := jittered(pause, r.rng)
		r.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, lastPause)
	}
}

// jittered varies d by a tenth.
func jittered(d time.Duration, rng *rand.Rand) time.Duration {
	return time.Duration((0.9 + 0.2*rng.Float64()) * float64(d))
}

// lookup makes one attempt.
func (r *Ring) lookup(ctx context.Context, key ID) (Lookup, bool) {
	found := Lookup{Key: key}
	s, own := r.begin(key)
	if own != nil {
		found.fill(*own)
		return found, true
	}
	from := r.machines[0].self
	for {
		r.putOff(s)
		if owner, ok := s.vouched(); ok && r.givenUp(owner) && r.takeWord(ctx, s, owner, &found) {
			return found, true
		}
		p, ok := s.next()
		if !ok || ctx.Err() != nil {
			return found, false
		}
		req := Request{Kind: KindFind, To: p.ID, From: from, Key: key}
		reply, rtt, err := r.call(ctx, p, req, 1)
		found.Hops = append(found.Hops, Hop{Peer: p, RTT: rtt, Err: err})
		if err != nil {
			s.fail()
			continue
		}
		s.answer(reply)
		if s.owner != nil {
			found.fill(*s.owner)
			return found, true
		}
	}
}

func (l *Lookup) fill(owner Reply) {
	l.Owner, l.After = owner.From, owner.From.ID
	if owner.Predecessor != nil {
		l.After = owner.Predecessor.ID
	}
	l.Successors = append([]Peer(nil), owner.Successors...)
}

// begin returns a search that starts with all that is known here, or the answer
// if the key is an own position's.
func (r *Ring) begin(key ID) (*search, *Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var skip []ID
	for _, m := range r.machines {
		if !m.left && m.owns(key) {
			reply := m.find(key)
			return nil, &reply
		}
		skip = append(skip, m.self.ID)
	}
	s := newSearch(key, 1, skip...)
	after, before, known := r.book.routes(key, namedCloser, now)
	for _, m := range r.machines {
		likely, closer := m.leads(key)
		s.add(likely, true)
		s.add(closer, false)
		if m.placed && !m.left {
			s.hear(Reply{From: m.self, Likely: likely})
		}
		if float64(known) < crowded*m.estimate() {
			after = nil // too few are known to guess the owner
		}
	}
	s.add(after, true)
	s.add(before, false)
	if len(s.leads) == 0 {
		s.add(r.book.sample(viasPerTick, now), false)
	}
	return s, nil
}

// putOff has the search ask those that failed lately only when no other is left.
func (r *Ring) putOff(s *search) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	s.doubt(func(p Peer) bool { return r.book.suspect(p, now) })
}

// crowded is the part of a ring that must be known for the first known peer
// after a key to be taken for its owner.
const crowded = 0.7
