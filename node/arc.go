package node

import (
	"slices"

	"github.com/dhtfs/dhtfs/chord"
)

// arc is the stretch (After, UpTo] of the ring; equal ends mean all of it.
type arc struct {
	After chord.ID `cbor:"1,keyasint"`
	UpTo  chord.ID `cbor:"2,keyasint"`
}

func (a arc) contains(key chord.ID) bool { return chord.BetweenIncl(key, a.After, a.UpTo) }

// parts are the ends of the parts into which some points divide an arc, in order;
// the last is its own.
func (a arc) parts(at []chord.ID) []chord.ID {
	l := slices.DeleteFunc(slices.Clone(at), func(id chord.ID) bool { return id == a.UpTo || !a.contains(id) })
	slices.SortFunc(l, func(x, y chord.ID) int { return a.After.Distance(x).Compare(a.After.Distance(y)) })
	return append(slices.Compact(l), a.UpTo)
}

// arcs is a set of stretches; they may touch and overlap.
type arcs []arc

func (s arcs) contains(key chord.ID) bool {
	for _, a := range s {
		if a.contains(key) {
			return true
		}
	}
	return false
}

// cover reports whether every key of a is in some arc of s. It walks back from
// the end of a, each step to the beginning of the arc that reaches farthest.
func (s arcs) cover(a arc) bool {
	if a.After == a.UpTo { // the whole ring: one half, then the other
		middle := a.After.Plus2Exp(chord.Bits - 1)
		return s.cover(arc{a.After, middle}) && s.cover(arc{middle, a.UpTo})
	}
	at := a.UpTo
	for {
		var reach chord.ID
		for _, x := range s {
			if !x.contains(at) {
				continue
			}
			if x.After == x.UpTo {
				return true
			}
			if d := x.After.Distance(at); d.Compare(reach) > 0 {
				reach = d
			}
		}
		if reach == (chord.ID{}) {
			return false
		}
		if reach.Compare(a.After.Distance(at)) >= 0 {
			return true
		}
		at = reach.Distance(at)
	}
}

// within are the parts of an arc that s covers.
func (s arcs) within(x arc) (parts arcs) {
	cuts := []chord.ID{x.UpTo}
	for _, a := range s {
		for _, end := range []chord.ID{a.After, a.UpTo} {
			if end != x.After && x.contains(end) {
				cuts = append(cuts, end)
			}
		}
	}
	slices.SortFunc(cuts[1:], func(a, b chord.ID) int { return x.After.Distance(a).Compare(x.After.Distance(b)) })
	at := x.After
	for _, end := range append(cuts[1:], x.UpTo) {
		part := arc{at, end}
		if at == end && len(cuts) > 1 || !s.cover(part) {
			at = end
			continue
		}
		if last := len(parts) - 1; last >= 0 && parts[last].UpTo == at {
			parts[last].UpTo = end
		} else {
			parts = append(parts, part)
		}
		at = end
	}
	return parts
}
