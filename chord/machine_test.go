package chord

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// member returns a placed position 10 between pred and list.
func member(pred Peer, list ...Peer) *machine {
	m := newMachine(at(0x10), 3, false)
	m.placed, m.list, m.pred, m.predHeard = true, list, &pred, true
	return m
}

// only returns the one message that m wants sent.
func only(t *testing.T, m *machine) message {
	t.Helper()
	out := m.take()
	require.Len(t, out, 1)
	return out[0]
}

// The positions of a machine that did not answer are not tried one by one.
func TestPositionsOfADeadMachineAreSkippedTogether(t *testing.T) {
	twin := Peer{ID: ID{0x25}, Machine: at(0x20).Machine}
	m := member(at(0xf0), at(0x20), twin, at(0x30))
	m.stabilize()
	m.failed(only(t, m).token)
	assert.Equal(t, at(0x30), only(t, m).to)

	m = member(at(0xf0), at(0x20), twin, at(0x30))
	m.stabilize()
	m.answered(only(t, m).token, Reply{From: at(0x20), Refusal: RefusedNotHere})
	assert.Equal(t, twin, only(t, m).to, "a machine that refuses for one position is there")
}

// Who has lost every successor goes on with its predecessor.
func TestPredecessorIsTheLastResort(t *testing.T) {
	m := member(at(0xf0), at(0x20))
	m.stabilize()
	m.failed(only(t, m).token)
	msg := only(t, m)
	assert.Equal(t, at(0xf0), msg.to)
	assert.False(t, m.alone(), "not before it was asked")
	m.answered(msg.token, Reply{From: at(0xf0), Successors: ats(0x08)})
	assert.Equal(t, ats(0xf0, 0x08), m.list)
}

// Whoever a list names nearer than its sender is asked, and adopted only when it
// answers. A list that names several who are dead does not keep a round going.
func TestNearerOnesInAListAreAsked(t *testing.T) {
	head, self := at(0x80), at(0x10)
	reply := Reply{From: head, Predecessor: &self, Successors: ats(0x90, 0x20, 0x30)}
	m := member(at(0xf0), head)
	m.stabilize()
	m.answered(only(t, m).token, reply)
	msg := only(t, m)
	assert.Equal(t, at(0x20), msg.to)
	assert.Equal(t, head.ID, m.head(), "not on hearsay")
	m.failed(msg.token)
	assert.Empty(t, m.take())
	assert.Equal(t, head.ID, m.head())

	m.stabilize()
	m.answered(only(t, m).token, reply)
	m.answered(only(t, m).token, Reply{From: at(0x20), Successors: ats(0x30, 0x80)})
	assert.Equal(t, ats(0x20, 0x30, 0x80), m.list)
}

func TestAnswerForAnotherPositionIsNone(t *testing.T) {
	m := member(at(0xf0), ats(0x20, 0x30)...)
	m.stabilize()
	m.answered(only(t, m).token, Reply{From: at(0x18), Successors: ats(0x19)})
	assert.Equal(t, ats(0x30), m.list)
}

func TestEachTokenIsAnsweredOnce(t *testing.T) {
	m := member(at(0xf0), ats(0x20, 0x30)...)
	m.stabilize()
	msg := only(t, m)
	m.answered(msg.token, Reply{From: at(0x20), Predecessor: &m.self, Successors: ats(0x30)})
	m.failed(msg.token)
	m.answered(999, Reply{From: at(0x15)})
	assert.Equal(t, ats(0x20, 0x30), m.list)
	assert.Empty(t, m.take())
}

// A failure seen elsewhere makes a position ask, not believe.
func TestDoubt(t *testing.T) {
	m := member(at(0xf0), ats(0x20, 0x30)...)
	m.doubt(at(0x30).Machine)
	assert.Empty(t, m.take(), "no neighbour")
	m.doubt(at(0x20).Machine)
	assert.Equal(t, at(0x20), only(t, m).to)
	m.doubt(at(0x20).Machine)
	assert.Empty(t, m.take(), "it is being asked")
	m.doubt(at(0xf0).Machine)
	assert.Equal(t, at(0xf0), only(t, m).to)
	assert.Equal(t, ats(0x20, 0x30), m.list)
}

// An address is taken from the peer itself only.
func TestNewAddress(t *testing.T) {
	m := member(at(0xf0), ats(0x20, 0xf0)...)
	moved := at(0xf0)
	moved.Addr = "new"
	m.handle(Request{Kind: KindPing, From: moved})
	assert.Equal(t, moved, *m.pred)
	assert.Equal(t, []Peer{at(0x20), moved}, m.list)
	assert.True(t, m.takeChanged())
}

// A joiner does not found a ring of its own while an old one answers, and not at
// all if it is not to.
func TestJoinKeepsTrying(t *testing.T) {
	joiner := newMachine(at(0x10), 3, true)
	for range 2 * maxJoinTries {
		joiner.tick(ats(0x20))
		joiner.answered(only(t, joiner).token, Reply{From: at(0x20)}) // knows no owner
	}
	assert.False(t, joiner.placed, "there is a ring")

	for range maxJoinTries {
		joiner.tick(ats(0x20))
		joiner.failed(only(t, joiner).token)
	}
	assert.False(t, joiner.placed)
	joiner.tick(ats(0x20))
	assert.True(t, joiner.alone(), "nobody answers")

	second := newMachine(at(0x30), 3, false)
	for range 2 * maxJoinTries {
		second.tick(ats(0x20))
		second.failed(only(t, second).token)
		second.tick(nil)
	}
	assert.False(t, second.placed, "another position of its machine is to found the ring")
}

func TestReunionAsksNoNeighbour(t *testing.T) {
	m := member(at(0xf0), ats(0x20, 0x30)...)
	m.reunite(ats(0x20, 0xf0, 0x10))
	assert.Empty(t, m.take())
	m.reunite(ats(0x30, 0x80))
	assert.Equal(t, at(0x80), only(t, m).to)
	m.reunite(ats(0x90))
	assert.Empty(t, m.take(), "one at a time")

	m = member(at(0xf0), ats(0x20, 0x30)...)
	m.ticks = 1
	m.reunite(ats(0x80))
	assert.Empty(t, m.take(), "only now and then")
	m.list, m.pred = nil, nil
	m.reunite(ats(0x80))
	assert.Equal(t, at(0x80), only(t, m).to, "at every tick while alone")
}

// The larger the ring, the less often each of its positions tries.
func TestReunionInALargeRing(t *testing.T) {
	tries := func(list ...Peer) int {
		m := member(list[len(list)-1], list...)
		count := 0
		for range 10 * reuniteSeldom {
			if m.wantsVias() {
				count++
			}
			m.ticks++
		}
		return count
	}
	near := func(b byte) Peer { return Peer{ID: ID{0x10, b}, Machine: at(b).Machine} }
	assert.Equal(t, 160, tries(ats(0x20, 0x30)...), "a ring of three")
	assert.Equal(t, 160, tries(ats(0x30, 0x50, 0x80)...), "about seven")
	assert.InDelta(t, 22, tries(ats(0x14, 0x18, 0x1c)...), 6, "about sixty")
	assert.Equal(t, 10, tries(near(1), near(2), near(3)), "thousands")
}

// A finger that is still right costs one message; one that is not leads on.
func TestFingerIsAskedFirst(t *testing.T) {
	m := member(at(0xf0), ats(0x20, 0x30, 0x40)...)
	m.fingers[Bits-1] = new(at(0xa0)) // of 0x90
	m.fixFinger()
	asked := only(t, m)
	assert.Equal(t, at(0xa0), asked.to)
	m.answered(asked.token, Reply{From: at(0xa0), Mine: true})
	assert.Empty(t, m.take())
	assert.Nil(t, m.fixing)
	assert.Equal(t, at(0xa0), *m.fingers[Bits-1])

	m.nextFinger = Bits - 1
	m.fixFinger()
	m.answered(only(t, m).token, Reply{From: at(0xa0), Predecessor: new(at(0x98))})
	asked = only(t, m)
	assert.Equal(t, at(0x98), asked.to, "who has come between")
	m.answered(asked.token, Reply{From: at(0x98), Mine: true})
	assert.Equal(t, at(0x98), *m.fingers[Bits-1])

	m.nextFinger = Bits - 1
	m.fixFinger()
	m.failed(only(t, m).token)
	assert.Equal(t, at(0x40), only(t, m).to, "the nearest before it")
	assert.Nil(t, m.fingers[Bits-1])
}

func TestFarewellNamesNoOwnPosition(t *testing.T) {
	own := Peer{ID: ID{0x15}, Machine: at(0x10).Machine}
	m := member(at(0xf0), own, at(0x20), at(0xf0))
	farewells := m.leave()
	require.Len(t, farewells, 2)
	assert.Equal(t, at(0xf0), farewells[0].to)
	assert.Equal(t, at(0x20), farewells[1].to)
	for _, f := range farewells {
		assert.Equal(t, ats(0x20, 0xf0), f.req.Successors)
		assert.Equal(t, at(0xf0), *f.req.Predecessor)
	}
	assert.Empty(t, m.leave(), "once")
}
