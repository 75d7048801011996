package filestore

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// inArc is the plain meaning of "after after, up to and including upTo": the
// distance from after is not greater.
func inArc(k, after, upTo [20]byte) bool {
	if after == upTo {
		return true
	}
	if bytes.Compare(after[:], upTo[:]) < 0 {
		return bytes.Compare(after[:], k[:]) < 0 && bytes.Compare(k[:], upTo[:]) <= 0
	}
	return bytes.Compare(after[:], k[:]) < 0 || bytes.Compare(k[:], upTo[:]) <= 0
}

func TestRegistersOfAnArc(t *testing.T) {
	s, err := Open(Options{Disk: NewMemDisk(), Positions: testPositions})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	keys := [][20]byte{{}, [20]byte(bytes.Repeat([]byte{0xff}, 20))}
	names := make([]string, 2*registersPage+20)
	for i := range names {
		names[i] = fmt.Sprint(i)
		keys = append(keys, KeyOf(names[i]))
		_, err := s.Update(names[i], func(r Register) (Register, error) {
			r.Promised = ballot(uint64(i) + 1)
			return r, nil
		})
		require.NoError(t, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		after, upTo := rapid.SampledFrom(keys).Draw(t, "after"), rapid.SampledFrom(keys).Draw(t, "upTo")
		var want []string
		for _, name := range names {
			if inArc(KeyOf(name), after, upTo) {
				want = append(want, name)
			}
		}
		slices.SortFunc(want, func(a, b string) int {
			ka, kb := KeyOf(a), KeyOf(b)
			pastA, pastB := bytes.Compare(ka[:], after[:]) > 0, bytes.Compare(kb[:], after[:]) > 0
			if pastA != pastB {
				if pastA {
					return -1
				}
				return 1
			}
			return bytes.Compare(ka[:], kb[:])
		})
		// Read it in pieces, resuming each time.
		piece := rapid.IntRange(1, len(names)).Draw(t, "piece")
		var got []string
		var from Cursor
		for {
			n := 0
			for e, err := range s.Registers(after, upTo, from) {
				require.NoError(t, err)
				require.Equal(t, KeyOf(e.Name), e.Key)
				require.Equal(t, names[e.Promised.Counter-1], e.Name)
				got = append(got, e.Name)
				from = e.Cursor
				if n++; n == piece {
					break
				}
			}
			if n < piece {
				break
			}
		}
		require.Equal(t, want, got)
	})
}

func TestRegistersWithOneKey(t *testing.T) {
	// Keys are hashes, so two names with one are made by hand.
	s, err := Open(Options{Disk: NewMemDisk(), Positions: testPositions})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	var want []string
	for _, name := range []string{"a", "ab", "b"} {
		key := cursorKey(Cursor{Key: [20]byte{7}, Name: name})
		value, err := (&entry{Promised: ballot(1)}).encode(key)
		require.NoError(t, err)
		require.NoError(t, s.commit(write{key, value}))
		want = append(want, name)
	}
	for i := range want {
		var got []string
		from := Cursor{}
		if i > 0 {
			from = Cursor{Key: [20]byte{7}, Name: want[i-1]}
		}
		for e, err := range s.Registers([20]byte{6}, [20]byte{7}, from) {
			require.NoError(t, err)
			got = append(got, e.Name)
		}
		require.Equal(t, want[i:], got)
	}
	for _, err := range s.Registers([20]byte{7}, [20]byte{8}, Cursor{}) {
		require.NoError(t, err)
		t.Fatal("the start of an arc is not in it")
	}
}

func TestCounter(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, reopen func() *Store) {
		var last uint64
		next := func(atLeast uint64) uint64 {
			n, err := s.NextCounter(atLeast)
			require.NoError(t, err)
			require.Greater(t, n, last)
			require.GreaterOrEqual(t, n, atLeast)
			last = n
			return n
		}
		for range 3 {
			first := next(0)
			require.Equal(t, first+1, next(0))
			next(first + counterBlock - 1)
			next(0)
			next(0)
			far := last + 10*counterBlock
			require.Equal(t, far, next(far))
			s = reopen()
		}
		_, err := s.NextCounter(1<<64 - 1)
		require.Error(t, err)
		next(0)
	})
}

func TestMeta(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, reopen func() *Store) {
		v, err := s.Meta("range")
		require.NoError(t, err)
		require.Nil(t, v)
		require.NoError(t, s.SetMeta("range", []byte("1-2")))
		require.NoError(t, s.SetMeta("empty", []byte{}))
		s = reopen()
		v, err = s.Meta("range")
		require.NoError(t, err)
		require.Equal(t, "1-2", string(v))
		v, err = s.Meta("empty")
		require.NoError(t, err)
		require.NotNil(t, v)
		require.Empty(t, v)
		require.NoError(t, s.SetMeta("range", nil))
		v, err = s.Meta("range")
		require.NoError(t, err)
		require.Nil(t, v)
	})
}
