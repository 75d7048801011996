package node

import "github.com/dhtfs/dhtfs/chord"

// item is one name as the members of its group have it.
type item struct {
	newest   rangeEntry
	at       map[MachineID]rangeEntry
	answered map[MachineID]bool // shared by all names of the arc
}

// merged is what the members of an arc's group have together, as far as this
// node looked at it.
type merged struct {
	items   []item
	unknown []rangeEntry // names that this node has no record of
}

// merge puts together what this node has in some parts of an arc and what others
// said of the arc. Where a machine does not differ, it has what this node has.
func (n *Node) merge(p place, own []rangeEntry, answers []compared) merged {
	byName := map[string]*item{}
	answered := map[MachineID]bool{n.self(): true}
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
		answered[c.from] = true
		ranges := make([]arc, len(c.differ))
		for i, d := range c.differ {
			ranges[i] = d.arc
			for _, e := range d.entries {
				take(c.from, e)
			}
		}
		differ := newRow(p.After, ranges)
		for _, e := range own {
			if differ.find(chord.KeyOf(e.Name)) < 0 {
				take(c.from, e)
			}
		}
	}
	var r merged
	for _, it := range byName {
		if e, here := it.at[n.self()]; (!here || e.Only) && !it.newest.Old {
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

// copies counts the machines that are known to hold a name's newest content.
func (it item) copies() int {
	held := 0
	for _, e := range it.at {
		if e.Held && e.View.Basis == it.newest.View.Basis {
			held++
		}
	}
	return held
}

// missingCopies counts the voters that a live name should have and that are not
// known to hold its newest content, those that did not answer included.
func (it item) missingCopies(target []MachineID) int {
	if !it.newest.Live {
		return 0
	}
	missing := 0
	for _, m := range target {
		if e, ok := it.at[m]; !ok || e.Only || !e.Held || e.View.Basis != it.newest.View.Basis {
			missing++
		}
	}
	return missing
}

// judge tells how a name stands whose voters should be those of target, going by
// those of the group that answered. A tombstone that is old enough to be
// forgotten is not brought to those who have nothing to forget.
func (n *Node) judge(p place, target []MachineID, it item) condition {
	v := it.newest.View.Voters
	if v.Joint() || !sameMachines(v.New, target) {
		return elsewhereYet
	}
	for _, m := range machinesOf(p.group()) {
		if !it.answered[m] {
			continue
		}
		e, ok := it.at[m]
		if !ok && it.newest.Old {
			continue
		}
		if !ok || e.Only || e.View.Basis != it.newest.View.Basis || e.Held != e.Live {
			return incomplete
		}
	}
	return asItShould
}
