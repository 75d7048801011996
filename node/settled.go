package node

import (
	"slices"
	"sync"

	"github.com/dhtfs/dhtfs/filestore"
)

// What was created in one round is known to be chosen by its coordinator, when all
// voters have accepted it; a reader would have to hear all of them to know. So a
// coordinator tells with each creation which of its earlier ones are chosen, and
// voters say so to readers, for whom a majority is enough then. Nothing depends on
// it: what is not known costs a reader another answer, or another round.

// span are the fast ballots of one machine that are chosen, by their counters: those
// above From, up to To.
type span struct {
	From uint64 `cbor:"1,keyasint"`
	To   uint64 `cbor:"2,keyasint"`
}

// spansKept are the spans that are remembered of one machine. One that fails no
// creation needs one.
const spansKept = 8

// settled is what this node knows of creations in one round. The zero value is ready;
// it may be used concurrently.
type settled struct {
	mu      sync.Mutex
	pending map[uint64]bool // this node's own that are under way
	failed  uint64          // the last of them that was not chosen, as far as is known
	last    uint64          // the last one that was begun
	heard   map[MachineID][]span
}

// begin has next draw the counter of a creation. Counters are drawn one at a time, so
// that none that is lower begins later.
func (s *settled) begin(next func() (uint64, error)) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counter, err := next()
	if err != nil {
		return 0, err
	}
	if s.pending == nil {
		s.pending = map[uint64]bool{}
	}
	if s.last == 0 {
		s.failed = counter - 1 // what came of those before the start is not known
	}
	s.pending[counter] = true
	s.last = counter
	return counter, nil
}

// end notes what became of a creation of this node's own.
func (s *settled) end(self MachineID, counter uint64, chosen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, counter)
	if !chosen {
		s.failed = max(s.failed, counter)
	}
	s.hear(self, s.own())
}

// tell is what other machines are told of this node's creations.
func (s *settled) tell() span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own()
}

func (s *settled) own() span {
	to := s.last
	for counter := range s.pending {
		to = min(to, counter-1)
	}
	return span{From: s.failed, To: max(s.failed, to)}
}

// learn notes what a machine says of its own creations.
func (s *settled) learn(from MachineID, is span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hear(from, is)
}

func (s *settled) hear(from MachineID, is span) {
	if is.To <= is.From {
		return
	}
	l := s.heard[from]
	if n := len(l); n > 0 && l[n-1].From == is.From {
		l[n-1].To = max(l[n-1].To, is.To)
		return
	}
	if s.heard == nil {
		s.heard = map[MachineID][]span{}
	}
	l = append(l, is)
	s.heard[from] = slices.Clone(l[max(0, len(l)-spansKept):])
}

// has reports whether what was accepted under a fast ballot is known to be chosen.
func (s *settled) has(b filestore.Ballot) bool {
	if !b.Fast {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.heard[b.Machine], func(is span) bool { return is.From < b.Counter && b.Counter <= is.To })
}
