package node

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
)

// A machine says of no creation that it is chosen before it knows, whatever order they
// end in, and what others have heard of it stays true.
func TestSettled(t *testing.T) {
	self := MachineID{1}
	ballot := func(counter uint64) filestore.Ballot {
		return filestore.Ballot{Counter: counter, Machine: self, Fast: true}
	}
	var s, other settled
	next := uint64(99)
	begin := func() uint64 {
		counter, err := s.begin(func() (uint64, error) { next++; return next, nil })
		require.NoError(t, err)
		return counter
	}
	known := func() (l []uint64) {
		other.learn(self, s.tell())
		for counter := uint64(90); counter < 120; counter++ {
			assert.Equal(t, s.has(ballot(counter)) || other.has(ballot(counter)), other.has(ballot(counter)), "both know of %d", counter)
			if other.has(ballot(counter)) {
				l = append(l, counter)
			}
		}
		return l
	}
	assert.Empty(t, known())
	for range 4 { // 100 to 103
		begin()
	}
	assert.Empty(t, known())
	s.end(self, 101, true)
	assert.Empty(t, known(), "100 is under way")
	s.end(self, 100, true)
	assert.Equal(t, []uint64{100, 101}, known())
	s.end(self, 103, true)
	assert.Equal(t, []uint64{100, 101}, known())
	s.end(self, 102, false)
	assert.Equal(t, []uint64{100, 101, 103}, known(), "of 102 nobody knows")
	next = 109 // others are drawn for other ballots
	s.end(self, begin(), true)
	assert.Equal(t, []uint64{100, 101, 103, 104, 105, 106, 107, 108, 109, 110}, known())
	assert.False(t, other.has(filestore.Ballot{Counter: 101, Machine: self}), "only fast ones")
	assert.False(t, other.has(filestore.Ballot{Counter: 101, Machine: MachineID{2}, Fast: true}))

	for range 3 * spansKept {
		s.end(self, begin(), true)
		s.end(self, begin(), false)
		other.learn(self, s.tell())
	}
	assert.LessOrEqual(t, len(other.heard[self]), spansKept)
	other.learn(self, span{From: 5, To: 5})
	other.learn(self, span{From: 9, To: 5})
	assert.False(t, other.has(ballot(7)))
	_, err := s.begin(func() (uint64, error) { return 0, errors.New("no counter") })
	require.Error(t, err)
	assert.Empty(t, s.pending)
}
