package node

import "github.com/dhtfs/dhtfs/chord"

// item is one name as the members of its group have it.
type item struct {
	newest   rangeEntry
	at       map[MachineID]rangeEntry
	answered map[MachineID]bool // shared by all names of the arc
}

// merged is an arc as the members of its group have it together.
type merged struct {
	items   []item
	unknown []rangeEntry // names that this node has no record of
}

// merge puts together what this node and others said of an arc.
func (n *Node) merge(own []rangeEntry, answers []compared) merged {
	byName := map[string]*item{}
	answered := map[MachineID]bool{n.self(): true}
	for _, c := range answers {
		answered[c.from] = true
	}
	take := func(m MachineID, e rangeEntry) {
		it := byName[e.Name]
		if it == nil {
			it = &item{newest: e, at: map[MachineID]rangeEntry{}, answered: answered}
			byName[e.Name] = it
		}
		if e.View.Basis.Compare(it.newest.View.Basis) > 0 {
			it.newest = e
		}
		it.at[m] = e
	}
	for _, e := range own {
		take(n.self(), e)
	}
	for _, c := range answers {
		entries := c.entries
		if c.same {
			entries = own
		}
		for _, e := range entries {
			take(c.from, e)
		}
	}
	var r merged
	for _, it := range byName {
		if e, here := it.at[n.self()]; !here || e.Only {
			r.unknown = append(r.unknown, it.newest)
		}
		r.items = append(r.items, *it)
	}
	return r
}

// condition is how a name stands in its group.
type condition uint8

const (
	asItShould   condition = iota
	incomplete             // the voters are the right ones, but not all have the newest record and content
	elsewhereYet           // the voters are not the right ones
)

// missingCopies counts the voters that a live name should have and that are not
// known to hold its newest content, those that did not answer included.
func (n *Node) missingCopies(p place, it item) int {
	if !it.newest.Live {
		return 0
	}
	missing := 0
	for _, m := range n.target(p, chord.KeyOf(it.newest.Name), it.newest.View.Voters.New) {
		if e, ok := it.at[m]; !ok || e.Only || !e.Held || e.View.Basis != it.newest.View.Basis {
			missing++
		}
	}
	return missing
}

// compareItem tells how a name stands, going by those of the group that answered.
func (n *Node) compareItem(p place, it item) condition {
	v := it.newest.View.Voters
	if v.Joint() || !sameMachines(v.New, n.target(p, chord.KeyOf(it.newest.Name), v.New)) {
		return elsewhereYet
	}
	for _, m := range machinesOf(p.group()) {
		if !it.answered[m] {
			continue
		}
		e, ok := it.at[m]
		if !ok || e.Only || e.View.Basis != it.newest.View.Basis || e.Held != e.Live {
			return incomplete
		}
	}
	return asItShould
}
