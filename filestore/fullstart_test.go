package filestore

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// killed is a disk as a process leaves it that was killed with small content
// whose files were not synced yet.
func killed(t *testing.T, data []byte) (*MemDisk, Options) {
	t.Helper()
	d := NewMemDisk()
	o := Options{Disk: d, Positions: [][20]byte{{1}}, Small: 64 << 10}
	s, err := Open(o)
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", data))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holder = nil // nothing more comes of this process
	return d, o
}

// A node that was killed comes back though its disk is full: what it has is whole
// and takes no more room.
func TestStartWithAFullDisk(t *testing.T) {
	data := content(1, 3000)
	d, o := killed(t, data)
	d.SetCapacity(1)
	s, err := Open(o)
	require.NoError(t, err)
	requireContent(t, s, "a", data)
	require.NoError(t, s.Close())
	for seed := range uint64(8) {
		d.Crash(rand.New(rand.NewPCG(seed, 0)))
		s, err = Open(o)
		require.NoError(t, err)
		requireContent(t, s, "a", data)
		require.NoError(t, s.Close())
	}
}

// After a power failure files may be torn, and are written again from the journal:
// in the space that was set aside, if there is no other.
func TestTornFilesOnAFullDisk(t *testing.T) {
	data := content(1, 3000)
	torn, reserved := 0, 0
	for seed := range uint64(20) {
		d, o := killed(t, data)
		d.Crash(rand.New(rand.NewPCG(seed, 0)))
		d.SetCapacity(1)
		if s, err := Open(o); err != nil {
			require.ErrorIs(t, err, ErrNoSpace)
			torn++
		} else {
			require.NoError(t, s.Close())
		}
		d.SetCapacity(math.MaxInt64)
		full := true
		d.SetFault(func(op Op, path string) error {
			switch {
			case op == OpRemove && path == reserveFile && full:
				full = false
				reserved++
			case op == OpWrite && full:
				return ErrNoSpace
			}
			return nil
		})
		s, err := Open(o)
		require.NoError(t, err)
		requireContent(t, s, "a", data)
		d.SetFault(nil)
		require.NoError(t, s.Close())
	}
	require.NotZero(t, torn)
	require.Equal(t, torn, reserved)
}
