package filestore

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A tree of sums must say of any stretch what adding up its items says.
func TestSumsOfAnArc(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sums
		var items []sumItem
		spread := rapid.SampledFrom([]int{1, 2, 20}).Draw(t, "bytes of the keys that differ")
		for i := range rapid.IntRange(0, 3*sumLeaf).Draw(t, "items") {
			var item sumItem
			name := fmt.Sprint(i)
			key := KeyOf(name)
			copy(item.key[20-spread:], key[:spread])
			copy(item.sum[:], key[:])
			items = append(items, item)
			s.add(item.key, item.sum)
		}
		for range rapid.IntRange(0, len(items)).Draw(t, "removed") {
			at := rapid.IntRange(0, len(items)-1).Draw(t, "which")
			s.remove(items[at].key, items[at].sum)
			items = append(items[:at], items[at+1:]...)
		}
		ends := [][20]byte{{}, {19: 0xff}, {0: 0xff}}
		for _, i := range items {
			ends = append(ends, i.key)
		}
		after, upTo := rapid.SampledFrom(ends).Draw(t, "after"), rapid.SampledFrom(ends).Draw(t, "upTo")
		var want Fingerprint
		count := 0
		for _, i := range items {
			if inArc(i.key, after, upTo) {
				want, count = want.Plus(i.sum), count+1
			}
		}
		got, n := s.of(after, upTo)
		require.Equal(t, want, got)
		require.Equal(t, count, n)
	})
}

func TestFingerprintArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Fingerprint {
			return Fingerprint(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0xff}), 16, 16).Draw(t, name))
		}
		a, b := draw("a"), draw("b")
		require.Equal(t, a.Plus(b), b.Plus(a))
		require.Equal(t, a, a.Plus(b).Minus(b))
	})
}

// Whatever happens to registers, their store's fingerprint is what it would be
// if the store were opened anew, and that of another store with the same.
func TestFingerprintFollowsTheRegisters(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, reopen func() *Store) {
		var zero [20]byte
		seen := map[Fingerprint]string{}
		check := func(what string, changes bool) {
			t.Helper()
			f, n := s.Fingerprint(zero, zero)
			before, known := seen[f]
			assert.Equal(t, !changes, known, "%s: as after %s", what, before)
			seen[f] = what
			s = reopen()
			again, m := s.Fingerprint(zero, zero)
			assert.Equal(t, f, again, what)
			assert.Equal(t, n, m, what)
		}
		check("nothing", true)
		data := content(1, 100)
		require.NoError(t, put(s, ballot(1), "a", data))
		check("a file", true)
		_, err := s.Update("a", func(r Register) (Register, error) { r.Promised = ballot(5); return r, nil })
		require.NoError(t, err)
		check("a promise", false)
		require.NoError(t, put(s, ballot(6), "a", data))
		check("a ballot", true)
		require.NoError(t, put(s, ballot(7), "b", data))
		check("another file", true)
		require.NoError(t, s.Drop("a", ballot(6)))
		check("a drop", true)
		_, err = s.Update("b", func(r Register) (Register, error) {
			r.Promised, r.Accepted = ballot(8), ballot(8)
			r.Record = &Record{Format: RecordFormat, Name: "b", Deleted: true}
			return r, nil
		})
		require.NoError(t, err)
		check("a tombstone", true)
		gone, err := s.Forget("b", ballot(8))
		require.NoError(t, err)
		require.True(t, gone)
		_, n := s.Fingerprint(zero, zero)
		assert.Equal(t, 1, n)
		check("a name forgotten", true)
	})
}

func TestFingerprintOfDamage(t *testing.T) {
	disk := NewMemDisk()
	s, err := Open(Options{Disk: disk, Positions: testPositions})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	data := content(1, 100)
	require.NoError(t, put(s, ballot(1), "a", data))
	f, _ := s.Fingerprint([20]byte{}, [20]byte{})
	visible, err := s.visible("a")
	require.NoError(t, err)
	require.NoError(t, disk.Damage(visible, 5))
	disk.SetFault(func(op Op, _ string) error { // nor can it be noted down
		if op == OpCommit {
			return errors.New("broken")
		}
		return nil
	})
	c, err := s.Open("a", recordOf("a", data).SHA256)
	require.NoError(t, err)
	_, err = c.ReadChunk(0, make([]byte, ChunkSize))
	require.ErrorIs(t, err, ErrCorrupt)
	require.NoError(t, c.Close())
	damaged, n := s.Fingerprint([20]byte{}, [20]byte{})
	assert.NotEqual(t, f, damaged)
	assert.Equal(t, 1, n)
	assert.Equal(t, s.FingerprintOf("a", ballot(1), NotHeld), damaged)
}

func TestSeedsTellFingerprintsApart(t *testing.T) {
	a, b := &Store{}, &Store{seed: [32]byte{1}}
	assert.NotEqual(t, a.FingerprintOf("x", ballot(1), IsHeld), b.FingerprintOf("x", ballot(1), IsHeld))
}

// BenchmarkFingerprint sums an arc of a store of 100,000 registers, and tells
// how much memory the sums take.
func BenchmarkFingerprint(b *testing.B) {
	var s sums
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 100_000 {
		key := KeyOf(fmt.Sprint(i))
		s.add(key, Fingerprint(key[:16]))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() {
		_, _ = s.of([20]byte{0x30}, [20]byte{0x90, 1})
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/100_000, "B/register")
}
