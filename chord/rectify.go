package chord

// notified is rectify: n says that it may be our predecessor.
func (m *machine) notified(n Peer) {
	switch {
	case n.ID == m.self.ID:
	case m.pred != nil && n.ID == m.pred.ID:
		if m.predDead {
			m.predDead, m.changed = false, true
		}
	case m.pred == nil, m.predDead, Between(n.ID, m.pred.ID, m.self.ID):
		m.setPredecessor(n)
	default:
		if m.challenger == nil || Between(n.ID, m.challenger.ID, m.self.ID) {
			m.challenger = &n
		}
		m.checkPredecessor()
	}
}

// setPredecessor adopts n, who spoke. The one it displaces has a new successor
// and is nudged to find out; a position without successors has found one.
func (m *machine) setPredecessor(n Peer) {
	old := m.pred
	if old != nil && !m.predDead && Between(n.ID, old.ID, m.self.ID) {
		m.tell(*old, KindNudge)
	}
	m.pred, m.predDead, m.predHeard, m.challenger, m.changed = &n, false, true, nil, true
	if len(m.list) == 0 {
		m.consider(n)
	}
}

// checkPredecessor asks the predecessor whether it is there, unless that is
// known or under way.
func (m *machine) checkPredecessor() {
	if m.pred == nil || m.predDead {
		return
	}
	for _, p := range m.pending {
		if p.why == forCheck && p.to.ID == m.pred.ID {
			return
		}
	}
	m.ask(*m.pred, KindPing, forCheck)
}

func (m *machine) predecessorAnswered() { m.challenger = nil }

// predecessorLost notes that p, if it is still the predecessor, is dead. It goes
// on marking where our range begins until another takes its place.
func (m *machine) predecessorLost(p Peer) {
	if m.pred == nil || m.pred.ID != p.ID || m.predDead {
		return
	}
	m.predDead, m.changed = true, true
	switch c := m.challenger; {
	case c != nil && c.ID != p.ID:
		m.setPredecessor(*c)
	case len(m.list) == 0:
		m.pred, m.predDead = nil, false // alone
	}
}

// court asks p, of whom we only heard, whether it is there; if it answers it
// counts as having notified us.
func (m *machine) court(p Peer) { m.ask(p, KindPing, forCourt) }

func (m *machine) courtAnswered(p Peer) {
	if m.pred == nil || m.predDead || Between(p.ID, m.pred.ID, m.self.ID) {
		m.notified(p)
	}
}
