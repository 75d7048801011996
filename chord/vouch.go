package chord

import (
	"context"
	"slices"
	"time"
)

// Vouching: two machines may be unable to talk to each other while both talk to
// the rest. The owner of a key then never tells one of them that the key is its
// own. Those next to the owner do: the one before the key names it as its first
// successor, the one after it as its predecessor, and either drops an owner that
// does not answer them. So a lookup that gets no answer from an owner for as long
// as it takes neighbours to notice a death takes their word. It is a view, as
// every lookup is: what is stored depends on majorities and not on it.

// vouchAfter is how long an owner must not have answered before its neighbours'
// word is taken: longer than they need to notice that it is dead.
const vouchAfter = 3 * time.Second

// word is whom a neighbour of a key takes for its owner.
type word struct{ by, owner Peer }

// hear keeps the words of those nearest to the key: of who comes before it, whose
// successor list goes beyond it; and of who comes after it, has answered, and has
// a predecessor that does not come before it.
func (s *search) hear(reply Reply) {
	from := reply.From
	if len(reply.Likely) > 0 && (s.nearBefore == nil || Between(from.ID, s.nearBefore.by.ID, s.key)) {
		s.nearBefore = &word{from, reply.Likely[0]}
	}
	p := reply.Predecessor
	if p == nil || reply.Mine || s.key.Distance(p.ID).Compare(s.key.Distance(from.ID)) >= 0 {
		return
	}
	if s.nearAfter == nil || s.key.Distance(from.ID).Compare(s.key.Distance(s.nearAfter.by.ID)) < 0 {
		s.nearAfter = &word{from, *p}
	}
}

// vouched returns whom the neighbours of the key take for its owner, if they
// have been heard: of two, the nearer to the key.
func (s *search) vouched() (owner Peer, ok bool) {
	switch {
	case s.nearBefore == nil:
		return Peer{}, false // nobody tells where its range begins
	case s.nearAfter != nil && s.key.Distance(s.nearAfter.owner.ID).Compare(s.key.Distance(s.nearBefore.owner.ID)) < 0:
		return s.nearAfter.owner, true
	}
	return s.nearBefore.owner, true
}

// givenUp reports whether a machine has not answered for vouchAfter, the last
// time a moment ago.
func (r *Ring) givenUp(p Peer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	h := r.book.health[p.Machine]
	return r.book.suspect(p, now) && !h.silent.IsZero() && now.Sub(h.silent) >= vouchAfter
}

// takeWord completes a lookup with what the neighbours of an owner that does not
// answer say; false if they say something else by now, or nothing.
func (r *Ring) takeWord(ctx context.Context, s *search, owner Peer, found *Lookup) bool {
	last, next := s.nearBefore, s.nearAfter
	s.nearBefore, s.nearAfter = nil, nil
	if own, ok := r.follows(owner); ok {
		next = &word{own, owner}
	}
	before, ok := r.neighbours(ctx, last.by)
	if !ok {
		return false
	}
	i := slices.IndexFunc(before, func(p Peer) bool { return p.ID == owner.ID })
	chain := before[i+1:]
	if next != nil && next.owner.ID == owner.ID {
		if chain, ok = r.neighbours(ctx, next.by); !ok {
			return false
		}
	} else if i < 0 {
		return false
	}
	found.Owner, found.After, found.Vouched = owner, last.by.ID, true
	for _, p := range before {
		if Between(p.ID, found.After, s.key) {
			found.After = p.ID
		}
	}
	found.Successors = successorList(owner, maxList, chain)
	return true
}

// follows returns the own position that has p for its predecessor.
func (r *Ring) follows(p Peer) (Peer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.machines {
		if m.placed && !m.left && m.pred != nil && m.pred.ID == p.ID {
			return m.self, true
		}
	}
	return Peer{}, false
}

// neighbours are a peer and its successors.
func (r *Ring) neighbours(ctx context.Context, p Peer) ([]Peer, bool) {
	reply, _, err := r.call(ctx, p, Request{Kind: KindState, To: p.ID, From: r.machines[0].self}, 1)
	return append([]Peer{p}, reply.Successors...), err == nil
}
