package chord

import "slices"

const (
	joinWidth    = 4 // peers asked at once while joining: many may be long gone
	maxJoinTries = 3 // failed searches before a position takes itself for alone
)

// behind returns the point just after self: its owner is our successor, also
// while others still list an earlier life of ours.
func (m *machine) behind() ID { return m.self.ID.Plus2Exp(0) }

// join searches for our successor through vias, or decides to be alone.
func (m *machine) join(vias []Peer) {
	switch {
	case m.joining != nil || m.round != nil:
	case m.mayFound && (len(vias) == 0 || m.joinTries >= maxJoinTries):
		m.placed, m.changed = true, true
	case len(vias) > 0:
		m.joinTries++
		m.joining = newSearch(m.behind(), joinWidth, m.self.ID)
		m.joining.add(vias, false)
		m.pursue(m.joining)
	}
}

// reunionSize is the size of a ring beyond which each of its positions tries reunion
// less often, so that the ring as a whole tries as often as one of that size: two
// times a tick, which is enough to meet the other part of a split ring at once.
const reunionSize = 8

// reunionIn reports whether reunion is to be tried in a tick: while alone in each.
func (m *machine) reunionIn(tick int) bool {
	if m.alone() {
		return true
	}
	every := reuniteEvery
	if size := m.estimate(); size > reunionSize {
		every = int(min(reuniteEvery*size/reunionSize, reuniteSeldom))
	}
	return tick%every == 0
}

// reunite asks a remembered peer that is no neighbour, through its own ring, who
// follows us.
func (m *machine) reunite(vias []Peer) {
	if m.reuniting != nil || m.breaks.noReunion || !m.reunionIn(m.ticks) {
		return
	}
	for _, via := range vias {
		if via.ID == m.self.ID || hasPeer(m.list, via.ID) || (m.pred != nil && m.pred.ID == via.ID) {
			continue
		}
		m.reuniting = newSearch(m.behind(), 1, m.self.ID)
		m.reuniting.add([]Peer{via}, false)
		m.pursue(m.reuniting)
		return
	}
}

// pursue sends what a search wants asked and, when it has ended, acts on it.
func (m *machine) pursue(s *search) {
	if s != m.joining && s != m.reuniting && s != m.fixing {
		return
	}
	for {
		p, ok := s.next()
		if !ok {
			break
		}
		m.token++
		m.pending[m.token] = pending{to: p, why: forFind, search: s}
		m.out = append(m.out, message{
			token: m.token, to: p,
			req: Request{Kind: KindFind, To: p.ID, From: m.self, Key: s.key},
		})
	}
	if !s.ended() {
		return
	}
	var owner *Peer
	if s.owner != nil {
		owner = &s.owner.From
	}
	switch s {
	case m.joining:
		m.joining = nil
		if s.best != nil || owner != nil {
			m.joinTries = 0 // there is a ring
		}
		if owner != nil {
			m.consider(*owner)
		}
	case m.reuniting:
		m.reuniting = nil
		if owner != nil && m.nearer(*owner) {
			m.consider(*owner)
		}
	case m.fixing:
		m.fixing = nil
		m.fingerFound(owner)
	}
}

// leave ends this position's part in the protocol and returns what its
// neighbours on other machines are to be told. Those named in it are whom they
// ask, not whom they adopt.
func (m *machine) leave() []message {
	placed := m.placed && !m.left
	m.left, m.out, m.round = true, nil, nil
	if !placed {
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(m.list), func(p Peer) bool {
		return p.Machine == m.self.Machine
	})
	var pred *Peer
	if m.pred != nil && !m.predDead && m.pred.Machine != m.self.Machine {
		pred = m.pred
	}
	say := func(to Peer) message {
		return message{to: to, confirm: true, req: Request{
			Kind: KindLeaving, To: to.ID, From: m.self,
			Predecessor: clonePeer(pred), Successors: others,
		}}
	}
	var out []message
	if pred != nil {
		out = append(out, say(*pred))
	}
	if len(others) > 0 && (pred == nil || others[0].ID != pred.ID) {
		out = append(out, say(others[0]))
	}
	return out
}

// leaving takes a neighbour's word that it goes, and asks those it names.
func (m *machine) leaving(req Request) {
	gone := req.From
	m.dropFingers(gone, false)
	m.setList(slices.DeleteFunc(slices.Clone(m.list), func(p Peer) bool { return p.ID == gone.ID }))
	if m.pred != nil && m.pred.ID == gone.ID {
		m.predecessorLost(gone)
		if p := req.Predecessor; p != nil && p.ID != m.self.ID {
			m.court(*p)
		}
	}
	for _, p := range req.Successors {
		if p.ID != m.self.ID && p.ID != gone.ID && m.nearer(p) {
			m.consider(p)
			return
		}
	}
	m.stabilize()
}
