package chord

import "slices"

// maxWalk bounds the steps back from predecessor to predecessor in one round.
const maxWalk = 64

// round is one run of stabilize: it asks the first live successor, walks back
// over predecessors that turn out to lie nearer, and ends with a notify. At
// most one message of a round is under way.
type round struct {
	head   ID // the first successor when the round began, or self
	walked int
	known  bool               // the head names us as its predecessor
	behind *Peer              // whom else it names
	silent map[ID]bool        // did not answer in this round
	gone   map[MachineID]bool // nor did anything on these machines
}

func (r *round) dead(p Peer) bool { return r.silent[p.ID] || r.gone[p.Machine] }

// stabilize starts a round, or has one follow the one that is under way.
func (m *machine) stabilize() {
	if m.round != nil {
		m.again = true
		return
	}
	m.again = false
	m.round = &round{
		head: m.head(), silent: make(map[ID]bool), gone: make(map[MachineID]bool),
	}
	m.askNext()
}

// consider has a round ask c, who may be a nearer successor.
func (m *machine) consider(c Peer) {
	m.candidate = &c
	m.stabilize()
}

// head returns the first successor's ID, or our own if there is none.
func (m *machine) head() ID {
	if len(m.list) == 0 {
		return m.self.ID
	}
	return m.list[0].ID
}

// nearer reports whether p lies before the first successor.
func (m *machine) nearer(p Peer) bool { return Between(p.ID, m.self.ID, m.head()) }

// askNext asks the candidate, else the first successor that has not failed in
// this round, else the predecessor, which in a ring of two is the successor too.
func (m *machine) askNext() {
	r := m.round
	if c := m.candidate; c != nil {
		m.candidate = nil
		if m.nearer(*c) && !r.dead(*c) {
			m.ask(*c, KindState, forRound)
			return
		}
	}
	for len(m.list) > 0 && r.dead(m.list[0]) {
		m.setList(m.list[1:])
	}
	switch {
	case len(m.list) > 0:
		m.ask(m.list[0], KindState, forRound)
	case m.pred != nil && !m.predDead && !r.dead(*m.pred):
		m.ask(*m.pred, KindState, forRound)
	default:
		m.endRound()
	}
}

// roundAnswered adopts the peer that answered, if it is the first successor or
// nearer, together with its list.
func (m *machine) roundAnswered(reply Reply) {
	r, s := m.round, reply.From
	if s.ID != m.head() && !m.nearer(s) {
		m.askNext() // a nearer one was adopted since it was asked
		return
	}
	m.adopt(s, reply.Successors)
	r.behind = reply.Predecessor
	r.known = r.behind != nil && r.behind.ID == m.self.ID
	if p := r.behind; p != nil && m.nearer(*p) && !r.dead(*p) && r.walked < maxWalk {
		r.walked++
		if !m.breaks.hearsay {
			m.ask(*p, KindState, forRound)
			return
		}
		m.adopt(*p, m.list)
		r.known, r.behind = false, nil
	}
	if i := slices.IndexFunc(reply.Successors, func(p Peer) bool { return m.nearer(p) && !r.dead(p) }); i >= 0 && r.walked < maxWalk {
		r.walked++ // the ring may go round more than once
		m.ask(reply.Successors[i], KindState, forRound)
		return
	}
	m.endRound()
}

// adopt makes s, who answered, the first successor and takes over its list.
func (m *machine) adopt(s Peer, list []Peer) {
	chain := append([]Peer{s}, list...)
	if !m.placed {
		m.placed, m.changed = true, true
		if m.breaks.shortJoin {
			chain = chain[:1]
		}
	}
	m.setList(successorList(m.self, m.want, chain))
}

func (m *machine) roundLost(p Peer, whole bool) {
	r := m.round
	r.silent[p.ID] = true
	if whole {
		r.gone[p.Machine] = true
	}
	if m.pred != nil && r.dead(*m.pred) {
		m.predecessorLost(*m.pred)
	}
	if r.walked > 0 && len(m.list) > 0 && m.nearer(p) {
		m.endRound() // the first successor itself has answered
		return
	}
	m.askNext()
}

// endRound notifies the successor unless it knows us; one that is new is asked
// again at once, since our notify may have told it of others.
func (m *machine) endRound() {
	r := m.round
	m.round = nil
	switch {
	case !m.placed:
		m.candidate, m.again = nil, false
		return // the place found was gone; join again
	case len(m.list) == 0 && m.pred != nil && m.predDead:
		m.pred, m.predDead, m.changed = nil, false, true // alone
	case len(m.list) > 0 && !r.known:
		m.tell(m.list[0], KindNotify)
	}
	if p := r.behind; p != nil && m.pred == nil && p.ID != m.self.ID && !r.dead(*p) && len(m.list) > 0 {
		m.court(*p)
	}
	if m.again || m.candidate != nil || m.head() != r.head && !r.known {
		m.stabilize()
	}
}
