package filestore

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// Quarantine keeps what it may, the newest longest, and nothing else is touched.
func TestQuarantineIsLimited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		d := NewMemDisk()
		s, err := Open(Options{Disk: d, Positions: [][20]byte{{1}}})
		require.NoError(t, err)
		size := map[string]int64{}
		for i := range 4 { // each a day after the other
			name := fmt.Sprint(i)
			data := content(byte(i), 1000*(i+1))
			require.NoError(t, put(s, ballot(1), name, data))
			require.NoError(t, d.Damage(visible(t, s, name), 7))
			_, err := read(s, name)
			require.ErrorIs(t, err, ErrCorrupt)
			size[name] = int64(len(data))
			time.Sleep(day)
		}
		require.NoError(t, put(s, ballot(1), "good", []byte("good")))
		is := func(files int, bytes int64) {
			t.Helper()
			a, err := s.Quarantined()
			require.NoError(t, err)
			assert.Equal(t, Aside{files, bytes}, a)
		}
		is(4, 10_000)
		gone, err := s.TrimQuarantine(30*day, 10_000)
		require.NoError(t, err)
		assert.Zero(t, gone)
		gone, err = s.TrimQuarantine(3*day+day/2, 1<<40)
		require.NoError(t, err)
		assert.Equal(t, Aside{1, 1000}, gone, "the one that has been there for four days")
		gone, err = s.TrimQuarantine(30*day, 7_000)
		require.NoError(t, err)
		assert.Equal(t, Aside{1, 2000}, gone, "the oldest, and no more than it takes")
		is(2, 7_000)
		gone, err = s.TrimQuarantine(30*day, 10)
		require.NoError(t, err)
		assert.Equal(t, Aside{1, 3000}, gone, "the newest stays, however large it is")
		is(1, 4_000)
		time.Sleep(30 * day)
		_, err = s.TrimQuarantine(30*day, 1<<40)
		require.NoError(t, err)
		is(0, 0)
		left, err := d.list(quarantineDir)
		require.NoError(t, err)
		assert.Empty(t, left, "empty folders")
		requireContent(t, s, "good", []byte("good"))
		require.NoError(t, s.Close())
	})
}

// A folder of somebody's, put among the files, is kept as it is.
func TestFoldersInQuarantineAreLeft(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Positions: [][20]byte{{1}}}
	s, err := Open(o)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	theirs := filepath.Join(dir, filepath.FromSlash(positionDir([20]byte{1})), "theirs")
	require.NoError(t, os.Mkdir(theirs, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(theirs, "file"), []byte("text"), 0o600))
	s, err = Open(o)
	require.NoError(t, err)
	_, err = s.TrimQuarantine(0, 0)
	require.NoError(t, err)
	kept, err := filepath.Glob(filepath.Join(dir, quarantineDir, "*", "theirs", "file"))
	require.NoError(t, err)
	assert.Len(t, kept, 1)
	require.NoError(t, s.Close())
}
