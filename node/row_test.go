package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/dhtfs/dhtfs/chord"
)

// The parts of an arc are disjoint, make the arc, and are of about one length.
func TestSplit(t *testing.T) {
	id := rapid.Map(rapid.SliceOfN(rapid.Byte(), 20, 20), func(b []byte) chord.ID { return chord.ID(b) })
	rapid.Check(t, func(t *rapid.T) {
		a := arc{id.Draw(t, "after"), id.Draw(t, "upTo")}
		if rapid.Bool().Draw(t, "whole") {
			a.UpTo = a.After
		}
		parts := a.split()
		if parts == nil {
			return
		}
		assert.Len(t, parts, arcParts)
		assert.Equal(t, a.After, parts[0].After)
		assert.Equal(t, a.UpTo, parts[arcParts-1].UpTo)
		r := newRow(a.After, slices.Clone(parts))
		assert.Equal(t, parts, r.arcs, "in order")
		key := id.Draw(t, "key")
		in := 0
		for i, p := range parts {
			if i > 0 {
				assert.Equal(t, parts[i-1].UpTo, p.After)
			}
			if p.contains(key) {
				in++
				assert.Equal(t, i, r.find(key))
			}
		}
		if a.contains(key) {
			assert.Equal(t, 1, in)
		} else {
			assert.Zero(t, in)
			assert.Equal(t, -1, r.find(key))
		}
	})
	assert.Nil(t, arc{chord.ID{19: 1}, chord.ID{19: 9}}.split(), "too short")
}

// Each point is in some arc or in one of the gaps between them.
func TestGaps(t *testing.T) {
	point := rapid.Map(rapid.ByteRange(0, 15), smallID)
	one := rapid.Custom(func(t *rapid.T) arc { return arc{point.Draw(t, "after"), point.Draw(t, "upTo")} })
	rapid.Check(t, func(t *rapid.T) {
		s := arcs(rapid.SliceOfN(one, 0, 4).Draw(t, "arcs"))
		gaps := s.gaps()
		for b := range byte(16) {
			in := 0
			for _, g := range gaps {
				if g.contains(smallID(b)) {
					in++
				}
			}
			want := 1
			if s.contains(smallID(b)) {
				want = 0
			}
			assert.Equal(t, want, in)
		}
	})
}

func TestAlongRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l alongRing[int]
		want := map[string]int{}
		for i := range rapid.IntRange(0, 30).Draw(t, "steps") {
			name := fmt.Sprint(rapid.IntRange(0, 15).Draw(t, "name"))
			if rapid.Bool().Draw(t, "put") {
				l.put(name, i)
				want[name] = i
			} else {
				l.remove(name)
				delete(want, name)
			}
			a := arc{chord.KeyOf(rapid.SampledFrom([]string{"3", "7"}).Draw(t, "after")), chord.KeyOf("7")}
			got := map[string]int{}
			var last *chord.ID
			for name, v := range l.in(a) {
				got[name] = v
				key := chord.KeyOf(name)
				if last != nil && key != a.After { // the beginning of the whole ring is its end
					assert.Negative(t, a.After.Distance(*last).Compare(a.After.Distance(key)))
				}
				last = &key
			}
			for name, v := range want {
				if a.contains(chord.KeyOf(name)) {
					assert.Equal(t, v, got[name])
					delete(got, name)
				}
			}
			assert.Empty(t, got)
		}
		assert.Equal(t, len(want), l.len())
	})
}
