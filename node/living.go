package node

import (
	"maps"
	"slices"
	"sync"

	"github.com/dhtfs/dhtfs/chord"
)

// living are the machines that this node knows to be alive near it, and so may
// stand between it and a key.
//
// A machine that comes, or comes back, takes the place of the last in the groups
// before it. That one is not told names any more which are stored there, and must
// forget at once that it knew all of them: should others die, it may be in the
// group again before it has looked what it missed. Its authority therefore ends
// where the groups would, going by all machines seen alive since it last looked.
// Whoever takes a place compares arcs with those behind it first of all, and is
// seen by that. It may be used concurrently.
type living struct {
	mu     sync.Mutex
	seen   map[MachineID]bool
	lately map[MachineID]bool // of those, the ones seen since the present look began
}

func newLiving() *living {
	return &living{seen: map[MachineID]bool{}, lately: map[MachineID]bool{}}
}

// look begins to find out who is alive.
func (l *living) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.lately)
}

// sawAlive notes a machine that compares arcs with this one. When it returns,
// what it ends of this node's authority has ended for good; with a failed disk
// that cannot be, and this node claims nothing.
func (n *Node) sawAlive(m MachineID) error {
	n.living.see(m, func(seen map[MachineID]bool) { n.authority.narrow(n.reach(seen)) })
	if n.store.Degraded() != nil {
		return nil
	}
	return n.authority.settle()
}

// see notes a machine and calls narrow with all that were seen if it is new.
func (l *living) see(m MachineID, narrow func(seen map[MachineID]bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lately[m] = true
	if !l.seen[m] {
		l.seen[m] = true
		narrow(l.seen)
	}
}

// looked ends a look that has found all places of this node. Machines that are
// in none of them are not counted on any longer.
func (n *Node) looked(mine []place) {
	l := n.living
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.seen)
	maps.Copy(l.seen, l.lately)
	for _, p := range mine {
		for _, x := range p.Live {
			l.seen[x.Machine] = true
		}
	}
	n.authority.narrow(n.reach(l.seen))
}

// reach are the arcs in whose groups this node is while others are alive. Those
// that are leaving are passed over.
func (n *Node) reach(others map[MachineID]bool) arcs {
	var ring []chord.Peer
	for _, x := range n.members.all() {
		m := x.Machine
		if m == n.self() || others[m] && n.members.counts(m) {
			ring = append(ring, positionsOf(x)...)
		}
	}
	return reachOf(n.self(), ring, n.want())
}

// reachOf are the arcs before the positions of a machine, each back to where want
// other machines lie between.
func reachOf(self MachineID, ring []chord.Peer, want int) (l arcs) {
	slices.SortFunc(ring, func(a, b chord.Peer) int { return a.ID.Compare(b.ID) })
	for i, at := range ring {
		if at.Machine != self {
			continue
		}
		between := map[MachineID]bool{}
		after := at.ID // all around
		for k := 1; k < len(ring); k++ {
			p := ring[(i-k+len(ring))%len(ring)]
			if p.Machine != self {
				between[p.Machine] = true
			}
			if p.Machine == self || len(between) == want {
				after = p.ID
				break
			}
		}
		l = append(l, arc{after, at.ID})
	}
	return l
}
