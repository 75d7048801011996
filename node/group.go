package node

import (
	"bytes"
	"context"
	"slices"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/node/register"
)

// place is where the keys of one arc belong, in the ring as this node sees it.
type place struct {
	arc
	Live []chord.Peer // distinct live machines from the owner on; the first Want of them are the group
	Want int          // min(N, members)
	// Degraded are machines among those that take no content, and still know
	// what they have.
	Degraded []MachineID
}

// group is the first Want distinct live machines.
func (p place) group() []chord.Peer { return p.Live[:min(p.Want, len(p.Live))] }

// rank is the machine's place in the group, 0 for the owner; -1 for none.
func (p place) rank(m MachineID) int {
	return slices.IndexFunc(p.group(), func(x chord.Peer) bool { return x.Machine == m })
}

// want is the number of copies the ring keeps of a file now.
func (n *Node) want() int {
	return max(1, min(n.genesis().N, n.members.count()))
}

// quorum is the number of durable copies that make an OK out of want.
func (n *Node) quorum(want int) int {
	return max(register.Majority(want), min(n.genesis().W, want))
}

// place looks up where key belongs. Machines that are leaving, or that can take
// no content since their disks have failed, are passed over.
func (n *Node) place(ctx context.Context, key chord.ID) (place, error) {
	l, err := n.ring.Lookup(ctx, key)
	if err != nil {
		return place{}, err
	}
	if l.Vouched {
		n.silence.note(l.Owner.Machine, chord.ErrUnreachable)
	}
	live := l.Group(len(l.Successors) + 1)
	n.members.hint(live)
	var degraded []MachineID
	live = slices.DeleteFunc(live, func(p chord.Peer) bool {
		broken := n.members.isDegraded(p.Machine)
		if broken {
			degraded = append(degraded, p.Machine)
		}
		return broken || n.members.isLeaving(p.Machine)
	})
	return place{arc: arc{l.After, l.Owner.ID}, Live: live, Degraded: degraded, Want: n.want()}, nil
}

// target is the voter list that a name at key should have: the group, and
// where fewer than Want machines are alive, members that are not, those that
// are voters already before others. So a ring in which a node is down does not
// take its vote away, and a file stored meanwhile is known to lack a copy.
func (n *Node) target(p place, key chord.ID, current []MachineID) []MachineID {
	var l []MachineID
	add := func(m MachineID) {
		if len(l) < p.Want && !slices.Contains(l, m) && n.members.counts(m) {
			l = append(l, m)
		}
	}
	for _, x := range p.group() {
		add(x.Machine)
	}
	for _, m := range current {
		add(m)
	}
	if len(l) < p.Want {
		for _, m := range n.members.after(key) {
			add(m)
		}
	}
	slices.SortFunc(l, func(a, b MachineID) int { return bytes.Compare(a[:], b[:]) })
	return l
}

// responsibility are the places whose groups this node is in.
func (n *Node) responsibility(ctx context.Context) ([]place, error) {
	var mine []place
	seen := map[chord.ID]bool{}
	for _, at := range n.membership.Positions() {
		for key := at; !seen[key]; {
			seen[key] = true
			p, err := n.place(ctx, key)
			if err != nil {
				return nil, err
			}
			if p.rank(n.self()) < 0 {
				break
			}
			mine = append(mine, p)
			key = p.After
		}
	}
	return mine, nil
}

// cut divides places where members are that are not there now. Those on either
// side of a missing machine are told different names, and so know and claim
// different things, though one group has both now.
func (n *Node) cut(mine []place) []place {
	var ends []chord.ID
	for _, x := range n.members.all() {
		for _, p := range positionsOf(x) {
			ends = append(ends, p.ID)
		}
	}
	var l []place
	for _, p := range mine {
		at := p.After
		for _, a := range p.parts(ends) {
			part := p
			part.arc = arc{at, a}
			l = append(l, part)
			at = a
		}
	}
	return l
}

// inPlace reports whether the ring counts on this node in as many arcs as it
// should. Shortly after a join the owners before it do not know it yet.
func (n *Node) inPlace(mine []place) bool {
	for _, p := range mine {
		return len(mine) >= min(p.Want, len(p.Live))
	}
	return false
}
