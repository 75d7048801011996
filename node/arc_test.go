package node

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/dhtfs/dhtfs/chord"
)

// smallID makes an ID of one byte, spread over the ring, so that arcs meet.
func smallID(b byte) chord.ID { return chord.ID{b << 4} }

// TestCoverAgainstCounting compares cover with trying each of the sixteen points.
func TestCoverAgainstCounting(t *testing.T) {
	point := rapid.Map(rapid.ByteRange(0, 15), smallID)
	one := rapid.Custom(func(t *rapid.T) arc { return arc{point.Draw(t, "after"), point.Draw(t, "upTo")} })
	rapid.Check(t, func(t *rapid.T) {
		s := arcs(rapid.SliceOfN(one, 0, 5).Draw(t, "arcs"))
		a := one.Draw(t, "arc")
		want := true
		for b := range byte(16) {
			if a.contains(smallID(b)) && !s.contains(smallID(b)) {
				want = false
			}
		}
		assert.Equal(t, want, s.cover(a))
	})
}

// TestWithinAgainstCounting compares within with trying each of the sixteen points.
func TestWithinAgainstCounting(t *testing.T) {
	point := rapid.Map(rapid.ByteRange(0, 15), smallID)
	one := rapid.Custom(func(t *rapid.T) arc { return arc{point.Draw(t, "after"), point.Draw(t, "upTo")} })
	rapid.Check(t, func(t *rapid.T) {
		s := arcs(rapid.SliceOfN(one, 0, 5).Draw(t, "arcs"))
		x := one.Draw(t, "arc")
		parts := s.within(x)
		for b := range byte(16) {
			at := smallID(b)
			assert.Equal(t, x.contains(at) && s.contains(at), parts.contains(at), "%v within %v: %v", s, x, parts)
		}
	})
}

func TestArcParts(t *testing.T) {
	at := func(b byte) chord.ID { return chord.ID{b} }
	for _, c := range []struct {
		arc      arc
		at, want []chord.ID
	}{
		{arc{at(10), at(20)}, nil, []chord.ID{at(20)}},
		{arc{at(10), at(20)}, []chord.ID{at(18), at(5), at(12), at(20), at(10), at(12)}, []chord.ID{at(12), at(18), at(20)}},
		{arc{at(250), at(10)}, []chord.ID{at(3), at(253), at(100)}, []chord.ID{at(253), at(3), at(10)}},
		{arc{at(7), at(7)}, []chord.ID{at(3), at(9), at(7)}, []chord.ID{at(9), at(3), at(7)}}, // the whole ring
	} {
		assert.Equal(t, c.want, c.arc.parts(c.at))
	}
}
