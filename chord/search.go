package chord

// maxAsked bounds the peers that one search asks.
const maxAsked = 64

// search is one lookup under way, without clock or I/O: next names whom to ask,
// answer and fail hand in what came of it. It ends with the first peer that
// says the key is its own, or when nobody is left to ask.
type search struct {
	key        ID
	width      int // peers asked at once until one has answered; then one at a time
	skip       []ID
	leads      map[ID]*lead
	best       *ID // the nearest before key that has answered
	asked      int
	waiting    int
	owner      *Reply // of the peer that owns the key
	nearBefore *word  // of the nearest before the key, and
	nearAfter  *word  // of the nearest after it, whom they take for the owner
}

// lead is a peer that the search has heard of.
type lead struct {
	peer   Peer
	likely bool // somebody's successor list says that it is the owner
	doubt  bool // it failed to answer lately
	asked  bool
}

// newSearch returns a search that never asks the positions in skip.
func newSearch(key ID, width int, skip ...ID) *search {
	return &search{key: key, width: width, skip: skip, leads: make(map[ID]*lead)}
}

// add names peers; likely, as possible owners.
func (s *search) add(peers []Peer, likely bool) {
next:
	for _, p := range peers {
		for _, id := range s.skip {
			if id == p.ID {
				continue next
			}
		}
		if l := s.leads[p.ID]; l == nil {
			s.leads[p.ID] = &lead{peer: p, likely: likely}
		} else if likely {
			l.likely = true
		}
	}
}

// doubt puts the peers off that suspect tells until no other is left.
func (s *search) doubt(suspect func(Peer) bool) {
	for _, l := range s.leads {
		l.doubt = suspect(l.peer)
	}
}

// next returns a peer to ask, or false: enough are being asked, nobody is left,
// or the owner is found.
func (s *search) next() (Peer, bool) {
	width := s.width
	if s.best != nil {
		width = 1
	}
	if s.owner != nil || s.waiting >= width || s.asked >= maxAsked {
		return Peer{}, false
	}
	var best *lead
	for _, l := range s.leads {
		if !l.asked && (best == nil || s.before(l, best)) {
			best = l
		}
	}
	if best == nil {
		return Peer{}, false
	}
	best.asked = true
	s.asked++
	s.waiting++
	return best.peer, true
}

// before orders leads: likely owners first; then those that come nearer before
// the key than whoever has answered, the nearest first; then, as those that
// could know an owner after it, the nearest after the key.
func (s *search) before(a, b *lead) bool {
	if ra, rb := s.rank(a), s.rank(b); ra != rb {
		return ra < rb
	}
	if s.rank(a)%4 == 1 {
		return a.peer.ID.Distance(s.key).Compare(b.peer.ID.Distance(s.key)) < 0
	}
	return s.key.Distance(a.peer.ID).Compare(s.key.Distance(b.peer.ID)) < 0
}

func (s *search) rank(l *lead) int {
	rank := 2
	switch {
	case l.likely:
		rank = 0
	case s.best == nil || Between(l.peer.ID, *s.best, s.key):
		rank = 1
	}
	if l.doubt {
		rank += 4
	}
	return rank
}

// answer takes the reply of a peer that was asked.
func (s *search) answer(reply Reply) {
	s.waiting--
	s.hear(reply)
	if reply.Mine {
		if s.owner == nil {
			s.owner = &reply
		}
		return
	}
	if id := reply.From.ID; s.best == nil || Between(id, *s.best, s.key) {
		s.best = &id
	}
	s.add(reply.Likely, true)
	s.add(reply.Closer, false)
	s.add(optional(reply.Predecessor), false)
	s.stepBack(reply)
}

// stepBack takes it from a peer that was likely the owner, and is not, that those
// after it are not either, and that a predecessor this side of the key may be.
func (s *search) stepBack(reply Reply) {
	from := s.leads[reply.From.ID]
	if from == nil || !from.likely {
		return
	}
	reach := s.key.Distance(reply.From.ID)
	for _, l := range s.leads {
		if s.key.Distance(l.peer.ID).Compare(reach) > 0 {
			l.likely = false
		}
	}
	if p := reply.Predecessor; p != nil && s.key.Distance(p.ID).Compare(reach) < 0 {
		s.add([]Peer{*p}, true)
	}
}

// fail notes that a peer that was asked did not answer.
func (s *search) fail() { s.waiting-- }

// ended reports whether the owner is known, or nobody is left to ask and no
// answer is awaited.
func (s *search) ended() bool {
	if s.owner != nil {
		return true
	}
	if s.waiting > 0 {
		return false
	}
	if s.asked >= maxAsked {
		return true
	}
	for _, l := range s.leads {
		if !l.asked {
			return false
		}
	}
	return true
}
