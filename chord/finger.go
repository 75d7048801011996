package chord

// Finger is a long-range contact: the owner of Start when it was looked up.
type Finger struct {
	Start ID // self + 2^i
	Peer  Peer
}

// fixFinger looks up one finger: every tick until all were, then now and then.
// Those inside the successor list need none, so a small ring does nothing here.
func (m *machine) fixFinger() {
	if m.fixing != nil || m.spans() || (m.swept && m.ticks%fingerEvery != 0) {
		return
	}
	last := m.list[len(m.list)-1].ID
	start := m.self.ID.Plus2Exp(m.nextFinger)
	if BetweenIncl(start, m.self.ID, last) {
		m.swept = true
		m.nextFinger = Bits - 1
		start = m.self.ID.Plus2Exp(m.nextFinger)
	}
	if BetweenIncl(start, m.self.ID, last) {
		return
	}
	if m.owns(start) {
		m.fingerFound(nil)
		return
	}
	m.fixing = newSearch(start, 1, m.self.ID)
	likely, closer := m.leads(start)
	m.fixing.add(optional(m.fingers[m.nextFinger]), true) // one message, if it is still right
	m.fixing.add(likely, true)
	m.fixing.add(closer, false)
	m.pursue(m.fixing)
}

// fingerFound notes the owner of the finger that was looked up, nil if it was
// not found, and passes on to the next.
func (m *machine) fingerFound(owner *Peer) {
	if owner != nil && owner.ID != m.self.ID {
		m.fingers[m.nextFinger] = owner
	}
	m.nextFinger = (m.nextFinger + Bits - 1) % Bits
}

// dropFingers forgets p, or all that is on its machine.
func (m *machine) dropFingers(p Peer, whole bool) {
	for i, f := range m.fingers {
		if f != nil && (f.ID == p.ID || whole && f.Machine == p.Machine) {
			m.fingers[i] = nil
		}
	}
}
