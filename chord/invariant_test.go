package chord

import (
	"fmt"
	"slices"
)

// invariants checks what must hold after every step as long as no more than
// want-1 listed machines are lost before the ring has healed, no live machine is
// taken for dead, and there is no partition. They are those of Zave 2017,
// section 4, for members = live, placed positions:
//
//   - one live successor: each list, in a member or in flight, has a live entry;
//   - at least one and at most one ring, in order: the best successors form one
//     cycle that goes round the circle once;
//   - connected appendages: every member reaches that cycle (it does, if each
//     has a best successor and there is one cycle);
//   - base not skipped: no list passes over a member of the stable base.
func (w *world) invariants() error {
	members := w.members()
	if len(members) < 2 {
		return nil
	}
	best := make(map[*node]*node, len(members))
	for _, n := range members {
		for _, p := range n.m.list {
			if w.isLive(p) {
				best[n] = w.byID[p.ID]
				break
			}
		}
		if best[n] == nil {
			return fmt.Errorf("%s has no live successor: %s", n.m.self.ID.Short(), shorts(n.m.list))
		}
	}
	fresh := w.fresh
	w.fresh = nil
	for _, m := range fresh {
		if err := w.soundList(m); err != nil {
			return err
		}
	}
	for reply := range w.flights {
		if reply.Refusal == NotRefused && len(reply.Successors) > 0 &&
			!slices.ContainsFunc(append([]Peer{reply.From}, reply.Successors...), w.isLive) {
			return fmt.Errorf("a list without a live node is in flight from %s", reply.From.ID.Short())
		}
	}
	return oneOrderedRing(members, best)
}

// soundList checks order, duplicates, self, length and the stable base.
func (w *world) soundList(m *machine) error {
	if sound := successorList(m.self, m.want, m.list); len(sound) != len(m.list) {
		return fmt.Errorf("%s has an unsound list: %s", m.self.ID.Short(), shorts(m.list))
	}
	prev := m.self.ID
	for _, p := range m.list {
		for _, h := range w.hosts {
			if b := h.nodes[0].m; h.base && b.placed && Between(b.self.ID, prev, p.ID) && prev != p.ID {
				return fmt.Errorf("%s skips base node %s: %s",
					m.self.ID.Short(), b.self.ID.Short(), shorts(m.list))
			}
		}
		prev = p.ID
	}
	return nil
}

func oneOrderedRing(members []*node, best map[*node]*node) error {
	mark := make(map[*node]int, len(members))
	rings := 0
	for i, start := range members {
		n := start
		for mark[n] == 0 {
			mark[n] = i + 1
			n = best[n]
		}
		if mark[n] != i+1 {
			continue
		}
		rings++ // n is on a cycle that was not met before
		laps := 0
		for at := n; ; {
			next := best[at]
			if next.m.self.ID.Compare(at.m.self.ID) <= 0 {
				laps++
			}
			if at = next; at == n {
				break
			}
		}
		if laps != 1 {
			return fmt.Errorf("the ring through %s goes round %d times", n.m.self.ID.Short(), laps)
		}
	}
	if rings != 1 {
		return fmt.Errorf("%d rings", rings)
	}
	return nil
}

// imperfection returns how the ring differs from the ideal one, in which every
// member lists exactly the members that follow it; nil if it does not.
func (w *world) imperfection() error {
	members := w.members()
	ring := make([]Peer, len(members))
	for i, n := range members {
		ring[i] = n.m.self
	}
	for _, h := range w.hosts {
		for _, n := range h.nodes {
			if h.up && !n.m.placed {
				return fmt.Errorf("%s is not placed", n.m.self.ID.Short())
			}
		}
	}
	for i, n := range members {
		chain := append(slices.Clone(ring[i+1:]), ring[:i]...)
		want := successorList(n.m.self, n.m.want, chain)
		if !slices.Equal(want, n.m.list) {
			return fmt.Errorf("%s lists %s, not %s", n.m.self.ID.Short(), shorts(n.m.list), shorts(want))
		}
		if len(chain) == 0 {
			if !n.m.alone() {
				return fmt.Errorf("%s is the last and does not know", n.m.self.ID.Short())
			}
			continue
		}
		if p := chain[len(chain)-1]; n.m.pred == nil || n.m.pred.ID != p.ID || n.m.predDead {
			return fmt.Errorf("%s does not have %s for predecessor", n.m.self.ID.Short(), p.ID.Short())
		}
	}
	return nil
}

func (w *world) perfect() bool { return w.imperfection() == nil }

func shorts(list []Peer) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.ID.Short()
	}
	return out
}
