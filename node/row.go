package node

import (
	"math/big"
	"slices"

	"github.com/dhtfs/dhtfs/chord"
)

// arcParts is how many parts a comparison splits an arc into.
const arcParts = 16

// split cuts an arc into parts of about one length, in their order; nothing for
// one that is too short.
func (a arc) split() []arc {
	full := new(big.Int).Lsh(big.NewInt(1), chord.Bits)
	d := a.After.Distance(a.UpTo)
	length := new(big.Int).SetBytes(d[:])
	if length.Sign() == 0 {
		length.Set(full)
	}
	if length.Cmp(big.NewInt(arcParts)) < 0 {
		return nil
	}
	begin := new(big.Int).SetBytes(a.After[:])
	parts := make([]arc, arcParts)
	last := a.After
	for i := range parts {
		at := new(big.Int).Mul(length, big.NewInt(int64(i+1)))
		at.Div(at, big.NewInt(arcParts)).Add(at, begin).Mod(at, full)
		parts[i].After = last
		at.FillBytes(parts[i].UpTo[:])
		last = parts[i].UpTo
	}
	return parts
}

// row is arcs that do not overlap, in their order from a point of the ring on.
type row struct {
	from chord.ID
	arcs []arc
}

// newRow sorts arcs, which it keeps. None of them may reach past from.
func newRow(from chord.ID, arcs []arc) row {
	r := row{from, arcs}
	slices.SortFunc(arcs, func(a, b arc) int { return r.compare(a.UpTo, b.UpTo) })
	return r
}

// compare orders points by their distance from the row's beginning; the
// beginning itself is the farthest, as the end of the whole ring.
func (r row) compare(a, b chord.ID) int {
	switch {
	case a == b:
		return 0
	case a == r.from:
		return 1
	case b == r.from:
		return -1
	}
	return r.from.Distance(a).Compare(r.from.Distance(b))
}

// find returns which arc a key is in; -1: none.
func (r row) find(key chord.ID) int {
	i, _ := slices.BinarySearchFunc(r.arcs, key, func(a arc, k chord.ID) int { return r.compare(a.UpTo, k) })
	if i < len(r.arcs) && r.arcs[i].contains(key) {
		return i
	}
	return -1
}

// meets reports whether two arcs have a point in common.
func (a arc) meets(b arc) bool { return a.contains(b.UpTo) || b.contains(a.UpTo) }

// gaps are the stretches between the arcs of s.
func (s arcs) gaps() (gaps arcs) {
	if len(s) == 0 {
		return arcs{{}}
	}
	var ends []chord.ID
	for _, a := range s {
		ends = append(ends, a.After, a.UpTo)
	}
	slices.SortFunc(ends, chord.ID.Compare)
	ends = slices.Compact(ends)
	for i, end := range ends {
		a := arc{ends[(i+len(ends)-1)%len(ends)], end}
		if !s.contains(end) {
			gaps = append(gaps, a)
		}
	}
	return gaps
}
