package chord

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testBook() *book {
	return newBook(Config{Positions: []Peer{at(0xee)}}.withDefaults())
}

func TestBookRemembersAndForgets(t *testing.T) {
	b := testBook()
	now := time.Unix(1000, 0)
	b.remember(ats(1, 2, 3, 2, 0xee)...)
	assert.ElementsMatch(t, ats(1, 2, 3), b.sample(9, now), "no duplicates, not this machine")
	assert.Len(t, b.sample(2, now), 2)

	moved := at(2)
	moved.Addr = "new"
	b.remember(moved)
	assert.Contains(t, b.sample(9, now), moved)

	second := Peer{ID: ID{9}, Machine: at(2).Machine}
	b.remember(second)
	b.forget(at(2).Machine)
	assert.ElementsMatch(t, ats(1, 3), b.sample(9, now))
	b.forget(at(1).Machine)
	b.forget(at(3).Machine)
	assert.Empty(t, b.sample(9, now))
}

func TestBookIsBounded(t *testing.T) {
	b := testBook()
	for i := range maxRemembered + 100 {
		b.remember(Peer{ID: ID{byte(i >> 8), byte(i)}, Machine: MachineID{1}})
	}
	require.Len(t, b.peers, maxRemembered)
	require.Len(t, b.index, maxRemembered)
	for i, p := range b.peers {
		require.Equal(t, i, b.index[p.ID])
	}
	b.forget(MachineID{1})
	assert.Empty(t, b.peers)
	assert.Empty(t, b.index)
}

func TestSuspectsComeLast(t *testing.T) {
	b := testBook()
	now := time.Unix(1000, 0)
	b.remember(ats(1, 2, 3, 4)...)
	b.missed(at(1), now)
	b.missed(at(2), now)
	assert.ElementsMatch(t, ats(3, 4), b.sample(2, now))
	b.heard(at(1), 0, now.Add(time.Second))
	assert.False(t, b.suspect(at(1), now.Add(time.Second)), "it spoke")
	assert.True(t, b.suspect(at(2), now.Add(time.Second)))
	assert.False(t, b.suspect(at(2), now.Add(suspectFor)), "it is tried again")
}

func TestTimeoutFollowsTheRoundTrip(t *testing.T) {
	b := testBook()
	now := time.Unix(1000, 0)
	assert.Equal(t, 500*time.Millisecond, b.timeout(at(1)), "nothing measured")
	b.heard(at(1), time.Millisecond, now)
	assert.Equal(t, 250*time.Millisecond, b.timeout(at(1)), "the floor")
	b.missed(at(1), now)
	assert.Equal(t, 500*time.Millisecond, b.timeout(at(1)), "doubled")
	for range 20 {
		b.missed(at(1), now)
	}
	assert.Equal(t, 1500*time.Millisecond, b.timeout(at(1)), "the ceiling")
	b.heard(at(1), time.Millisecond, now)
	assert.Equal(t, 250*time.Millisecond, b.timeout(at(1)))

	for range 100 {
		b.heard(at(2), 300*time.Millisecond, now)
	}
	got := b.timeout(at(2))
	assert.GreaterOrEqual(t, got, 300*time.Millisecond)
	assert.Less(t, got, 400*time.Millisecond, "a steady peer needs little beyond its round trip")
}

func TestRoutes(t *testing.T) {
	b := testBook()
	now := time.Unix(10000, 0)
	for _, p := range ats(0x10, 0x20, 0x30, 0x60, 0x70) {
		b.heard(p, time.Millisecond, now)
	}
	b.remember(at(0x50))
	b.heard(at(0x40), time.Millisecond, now.Add(-time.Hour))
	b.missed(at(0x60), now.Add(time.Second))
	after, before, known := b.routes(ID{0x48}, 2, now.Add(time.Second))
	assert.Equal(t, ats(0x70), after, "50 was never heard, 60 failed")
	assert.Equal(t, ats(0x30, 0x20), before, "40 was not heard lately")
	assert.Equal(t, 4, known)
}
