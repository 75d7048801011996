package trust

import (
	"crypto/ed25519"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// manyMembers makes members that have announced themselves.
func manyMembers(t *testing.T, count int) (*Authority, [][]byte) {
	a, _ := firstNode(t)
	sets := make([][]byte, count)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < count; i += workers {
				var seed [ed25519.SeedSize]byte
				binary.BigEndian.PutUint64(seed[:], uint64(i))
				key := ed25519.NewKeyFromSeed(seed[:])
				chain, err := a.Issue(pub(key), "member", 1, nil, now)
				if !assert.NoError(t, err) {
					return
				}
				id, err := NewIdentity(key, chain)
				if !assert.NoError(t, err) {
					return
				}
				one := NewMembers(a.Root())
				_, err = one.Announce(id, []string{"192.0.2.1:24160", "[2001:db8::1]:24160"}, "member", "v1")
				assert.NoError(t, err)
				sets[i] = one.Encode()
			}
		})
	}
	wg.Wait()
	return a, sets
}

func mergeAll(t *testing.T, m *Members, sets [][]byte) {
	for _, s := range sets {
		_, err := m.Merge(s)
		require.NoError(t, err)
	}
}

// exchange lets a compare itself with b, as two nodes do, and returns the messages
// and the bytes of the largest.
func exchange(t *testing.T, a, b *Members) (messages, largest int) {
	sent := func(n int) {
		messages, largest = messages+1, max(largest, n)
	}
	theirs := b.Summary()
	sent(len(theirs.Digest) + len(theirs.Buckets))
	if theirs.Digest == a.Digest() {
		return messages, largest
	}
	differing, err := a.Differing(theirs)
	require.NoError(t, err)
	for some := range slices.Chunk(differing, BucketsAtOnce) {
		for more := true; more; {
			have := a.Have(some)
			sent(len(have))
			var set []byte
			var want []MachineID
			set, want, more, err = b.Compare(some, have)
			require.NoError(t, err)
			sent(len(set) + len(want)*len(MachineID{}))
			_, err = a.Merge(set)
			require.NoError(t, err)
			for len(want) > 0 {
				set, want = a.Page(want)
				sent(len(set))
				_, err = b.Merge(set)
				require.NoError(t, err)
			}
		}
	}
	return messages, largest
}

// Two sets of ten thousand members, of which each lacks some that the other has,
// become equal by messages far below what a node takes; and when they differ in one
// member, by a few small ones.
func TestTenThousandMembers(t *testing.T) {
	count, most := bubble.Fewer(10_000), 2<<20
	a, sets := manyMembers(t, count)
	left, right := NewMembers(a.Root()), NewMembers(a.Root())
	mergeAll(t, left, sets[:count*6/10])
	mergeAll(t, right, sets[count*4/10:count-1])
	messages, largest := exchange(t, left, right)
	t.Logf("%d messages, the largest %d bytes", messages, largest)
	assert.Less(t, largest, most)
	require.Equal(t, left.Digest(), right.Digest())
	require.Len(t, left.All(), count-1)

	mergeAll(t, right, sets[count-1:])
	messages, largest = exchange(t, left, right)
	assert.LessOrEqual(t, messages, 3)
	assert.Less(t, largest, 8<<10)
	require.Equal(t, left.Digest(), right.Digest())
	messages, _ = exchange(t, left, right)
	assert.Equal(t, 1, messages, "equal sets")

	told := left.EncodeFor(left.All()[5].Machine, left.All()[6].Machine)
	assert.Less(t, len(told), most, "what a newcomer is told")
}

func TestComparisonsOfAPeerAreChecked(t *testing.T) {
	a, _ := firstNode(t)
	m := NewMembers(a.Root())
	_, err := m.Differing(Summary{Buckets: []byte{1}})
	require.ErrorIs(t, err, ErrBadMembers)
	_, _, _, err = m.Compare([]byte{1}, []byte{1})
	require.ErrorIs(t, err, ErrBadMembers)
	_, _, _, err = m.Compare(make([]byte, BucketsAtOnce+1), nil)
	require.ErrorIs(t, err, ErrBadMembers)
}

// Entries larger than a page still get across, one by one.
func TestPagesHoldOneEntryAtLeast(t *testing.T) {
	a, sets := manyMembers(t, 3)
	m := NewMembers(a.Root())
	mergeAll(t, m, sets)
	items, _ := m.snapshot()
	items[0].announcement.Body = make([]byte, 2*PageSize)
	assert.Equal(t, 1, pageOf(items[:1]))
	assert.Equal(t, 1, pageOf([]*item{items[1], items[0]}))
	assert.Equal(t, 1, pageOf(items))
}
