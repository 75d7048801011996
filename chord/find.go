package chord

import (
	"math"
	"slices"
)

// How many peers a find names of each sort.
const (
	namedLikely = 3
	namedCloser = 4
)

// owns reports whether key lies in (predecessor, self]. A position that does
// not know its predecessor owns nothing, unless it is alone.
func (m *machine) owns(key ID) bool {
	if m.pred == nil {
		return m.alone()
	}
	return m.placed && BetweenIncl(key, m.pred.ID, m.self.ID)
}

// find answers KindFind: mine, or whom to ask. With Mine, Predecessor is where
// our range begins, be it alive or not.
func (m *machine) find(key ID) Reply {
	reply := Reply{From: m.self}
	if m.owns(key) {
		reply.Mine, reply.Successors, reply.Predecessor = true, m.list, clonePeer(m.pred)
		return reply
	}
	if m.pred != nil && !m.predDead {
		reply.Predecessor = clonePeer(m.pred)
	}
	reply.Likely, reply.Closer = m.leads(key)
	return reply
}

// leads returns whom to ask about a key that is not our own: the owner and
// those after it, as far as the successor list tells, and the known peers that
// come nearest before the key.
func (m *machine) leads(key ID) (likely, closer []Peer) {
	if i := slices.IndexFunc(m.list, func(p Peer) bool {
		return BetweenIncl(key, m.self.ID, p.ID)
	}); i >= 0 {
		likely = m.list[i:min(i+namedLikely, len(m.list))]
	}
	near := func(p Peer) {
		if Between(p.ID, m.self.ID, key) && !hasPeer(closer, p.ID) {
			closer = append(closer, p)
		}
	}
	for _, p := range m.list {
		near(p)
	}
	for _, p := range m.fingers {
		if p != nil {
			near(*p)
		}
	}
	if m.pred != nil && !m.predDead {
		near(*m.pred)
	}
	slices.SortFunc(closer, func(a, b Peer) int {
		return a.ID.Distance(key).Compare(b.ID.Distance(key))
	})
	return likely, closer[:min(len(closer), namedCloser)]
}

// estimate guesses how many positions the ring has from how far apart the
// successors lie.
func (m *machine) estimate() float64 {
	if m.spans() {
		return float64(len(m.list) + 1)
	}
	part := m.self.ID.Distance(m.list[len(m.list)-1].ID).fraction()
	return float64(len(m.list)) / max(part, math.SmallestNonzeroFloat32)
}
