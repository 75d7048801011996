package chord

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// at returns a peer whose ID begins with b, on a machine of its own.
func at(b byte) Peer { return Peer{ID: ID{b}, Machine: MachineID{b}} }

func ats(bs ...byte) []Peer {
	var peers []Peer
	for _, b := range bs {
		peers = append(peers, at(b))
	}
	return peers
}

// order asks everybody and has nobody answer.
func order(s *search) []Peer {
	var asked []Peer
	for p, ok := s.next(); ok; p, ok = s.next() {
		asked = append(asked, p)
		s.fail()
	}
	return asked
}

func TestSearchAsksLikelyOwnersFirstThenTheNearestBefore(t *testing.T) {
	s := newSearch(ID{0x50}, 1)
	s.add(ats(0x10, 0x40, 0x60), false)
	s.add(ats(0x80, 0x70), true)
	assert.Equal(t, ats(0x70, 0x80, 0x40, 0x10, 0x60), order(s))
	assert.True(t, s.ended())
	assert.Nil(t, s.owner)
}

func TestSearchPutsOffWhoFailedLately(t *testing.T) {
	s := newSearch(ID{0x50}, 1)
	s.add(ats(0x40, 0x10), false)
	s.add(ats(0x60), true)
	s.doubt(func(p Peer) bool { return p.ID != ID{0x10} })
	assert.Equal(t, ats(0x10, 0x60, 0x40), order(s))
}

func TestSearchMakesProgress(t *testing.T) {
	s := newSearch(ID{0x50}, 1, ID{0x45})
	s.add(ats(0x10, 0x90), false)
	p, _ := s.next()
	require.Equal(t, at(0x10), p, "nearest before the key")
	s.answer(Reply{From: p, Closer: ats(0x30, 0x20, 0x45), Likely: ats(0x70, 0x80)})

	p, _ = s.next()
	require.Equal(t, at(0x70), p)
	pred := at(0x60)
	s.answer(Reply{From: p, Predecessor: &pred})
	p, _ = s.next()
	require.Equal(t, at(0x60), p, "its predecessor rather than 80, who comes after one that is not the owner")
	s.fail()
	p, _ = s.next()
	require.Equal(t, at(0x30), p, "an alternative; 45 was to be left out")
	s.answer(Reply{From: p, Mine: true})
	assert.Equal(t, at(0x30), s.owner.From, "only who says mine is the owner")
	_, more := s.next()
	assert.False(t, more)
	assert.True(t, s.ended())
}

func TestSearchWidth(t *testing.T) {
	s := newSearch(ID{0x50}, 3)
	s.add(ats(1, 2, 3, 4, 5), false)
	var first Peer
	for i := range 3 {
		p, ok := s.next()
		require.True(t, ok, i)
		first = p
	}
	_, ok := s.next()
	require.False(t, ok, "three at once")
	assert.False(t, s.ended())
	s.answer(Reply{From: first, Closer: ats(0x4f)})
	_, ok = s.next()
	assert.False(t, ok, "one at a time once the ring answers")
}

func TestSearchIsBounded(t *testing.T) {
	s := newSearch(ID{0xff, 0xff}, 1)
	s.add(ats(1), false)
	asked := 0
	for p, ok := s.next(); ok; p, ok = s.next() {
		asked++
		next := p // a peer that always knows somebody nearer
		next.ID = next.ID.Plus2Exp(100)
		s.answer(Reply{From: p, Closer: []Peer{next}})
	}
	assert.Equal(t, maxAsked, asked)
	assert.True(t, s.ended())
}

func TestSuccessorList(t *testing.T) {
	self := at(0x50)
	twin := Peer{ID: ID{0x58}, Machine: self.Machine}
	double := Peer{ID: ID{0x65}, Machine: at(0x60).Machine}
	for name, c := range map[string]struct{ chain, want []Peer }{
		"nothing":           {nil, nil},
		"self":              {ats(0x50, 0x60), nil},
		"stops at self":     {ats(0x60, 0x50, 0x70), ats(0x60)},
		"stops past self":   {ats(0x60, 0x10, 0x55), ats(0x60, 0x10)},
		"no duplicate":      {ats(0x60, 0x60, 0x70), ats(0x60)},
		"so many machines":  {ats(0x60, 0x70, 0x80, 0x90), ats(0x60, 0x70, 0x80)},
		"machines count":    {append([]Peer{at(0x60), double}, ats(0x70, 0x80, 0x90)...), append([]Peer{at(0x60), double}, ats(0x70, 0x80)...)},
		"own do not count":  {append([]Peer{twin}, ats(0x60, 0x70, 0x80, 0x90)...), append([]Peer{twin}, ats(0x60, 0x70, 0x80)...)},
		"wraps around zero": {ats(0xf0, 0x00, 0x10), ats(0xf0, 0x00, 0x10)},
	} {
		assert.Equal(t, c.want, successorList(self, 3, c.chain), name)
	}
	var crowd []Peer
	for i := range 200 {
		crowd = append(crowd, Peer{ID: ID{0x60, byte(i)}, Machine: MachineID{1}})
	}
	assert.Len(t, successorList(self, 3, crowd), maxList)
}

// Who does not know its predecessor claims nothing, unless it is alone.
func TestOwns(t *testing.T) {
	m := newMachine(at(0x50), 3, true)
	assert.False(t, m.owns(ID{0x50}), "not placed")
	m.placed = true
	assert.True(t, m.owns(ID{0x99}), "alone")
	m.list = ats(0x60)
	assert.False(t, m.owns(ID{0x50}), "has a successor, knows no predecessor")
	pred := at(0x40)
	m.pred = &pred
	assert.True(t, m.owns(ID{0x50}))
	assert.True(t, m.owns(ID{0x41}))
	assert.False(t, m.owns(ID{0x40}))
	assert.False(t, m.owns(ID{0x51}))
	m.predDead = true
	assert.True(t, m.owns(ID{0x41}), "a dead predecessor still bounds the range")
	assert.False(t, m.owns(ID{0x40}))
}

func TestGroup(t *testing.T) {
	double := Peer{ID: ID{0x65}, Machine: at(0x60).Machine}
	l := Lookup{Owner: at(0x60), Successors: append([]Peer{double}, ats(0x70, 0x80)...)}
	assert.Equal(t, ats(0x60), l.Group(1))
	assert.Equal(t, ats(0x60, 0x70, 0x80), l.Group(3))
	assert.Equal(t, ats(0x60, 0x70, 0x80), l.Group(9))
	assert.Empty(t, l.Group(0))
}
