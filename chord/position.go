package chord

import "slices"

// Position is a snapshot of one own position. The caller owns it.
type Position struct {
	Self        Peer
	Placed      bool
	Predecessor *Peer // nil: none is known
	Successors  []Peer
	Fingers     []Finger // nearest first
}

// Positions returns snapshots in the order of Config.Positions.
func (r *Ring) Positions() []Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	positions := make([]Position, 0, len(r.machines))
	for _, m := range r.machines {
		p := Position{
			Self: m.self, Placed: m.placed,
			Predecessor: clonePeer(m.pred), Successors: slices.Clone(m.list),
		}
		for i, f := range m.fingers {
			if f != nil {
				p.Fingers = append(p.Fingers, Finger{Start: m.self.ID.Plus2Exp(i), Peer: *f})
			}
		}
		positions = append(positions, p)
	}
	return positions
}
