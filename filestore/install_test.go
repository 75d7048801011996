package filestore

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// smallStore is a store on a directory that takes small content into its table.
func smallStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(Options{Dir: t.TempDir(), Positions: testPositions, Small: 1 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// Many small files at once all get their files, with their dress, and nothing else is left.
func TestSmallFilesAreInstalled(t *testing.T) {
	s := smallStore(t)
	const count = 200
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { assert.NoError(t, put(s, ballot(1), fmt.Sprint("dir/", i), content(byte(i), 1+i))) })
	}
	all.Wait()
	for i := range count {
		name := fmt.Sprint("dir/", i)
		data, err := os.ReadFile(s.Path(name))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content(byte(i), 1+i), data))
		info, err := os.Stat(s.Path(name))
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o640), info.Mode())
		assert.Equal(t, int64(1_700_000_000_123_456_789), info.ModTime().UnixNano())
	}
	requireClean(t, s, count)
}

// A directory that somebody has removed is made again.
func TestSmallFilesWhoseDirectoryIsGone(t *testing.T) {
	s := smallStore(t)
	require.NoError(t, put(s, ballot(1), "a", []byte("one")))
	require.NoError(t, os.RemoveAll(filepath.Dir(s.Path("a"))))
	require.NoError(t, put(s, ballot(2), "a", []byte("two")))
	requireContent(t, s, "a", []byte("two"))
}

func TestReadSmall(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		s.small = 1 << 10
		data := content(1, 1000)
		rec := recordOf("a", data)
		require.NoError(t, put(s, ballot(1), "a", data))
		check := func(want bool) {
			t.Helper()
			for _, size := range []int64{1000, 0} {
				got, ok := s.ReadSmall("a", rec.SHA256, size)
				assert.Equal(t, want, ok, size)
				if want {
					assert.True(t, bytes.Equal(data, got))
				}
			}
		}
		check(true)
		overwrite(t, d, visible(t, s, "a"), func(b []byte) []byte { b[7]++; return b })
		check(true) // the table has it still
		overwrite(t, d, visible(t, s, "a"), func(b []byte) []byte { b[7]--; return b })
		require.NoError(t, s.Flush())
		check(true)
		_, ok := s.ReadSmall("a", rec.SHA256, 999)
		assert.False(t, ok, "longer than that")
		s.small = 999
		_, ok = s.ReadSmall("a", rec.SHA256, 1000)
		assert.False(t, ok, "it is not small")
		s.small = 1 << 10
		_, ok = s.ReadSmall("a", Hash{1}, 1000)
		assert.False(t, ok, "another content")
		_, ok = s.ReadSmall("b", rec.SHA256, 1000)
		assert.False(t, ok, "nothing is there")
		for what, change := range map[string]func([]byte) []byte{
			"a flipped bit": func(b []byte) []byte { b[7] ^= 1; return b },
			"a short file":  func(b []byte) []byte { return b[:999] },
		} {
			overwrite(t, d, visible(t, s, "a"), change)
			_, ok := s.ReadSmall("a", rec.SHA256, 1000)
			assert.False(t, ok, what)
		}
		require.NoError(t, d.remove(visible(t, s, "a")))
		check(false)
		r, err := s.Register("a")
		require.NoError(t, err)
		assert.True(t, r.Held, "it is for Open to find that out")
	})
}

// A pipe in a file's place is not waited for.
func TestReadSmallOfAPipe(t *testing.T) {
	s := smallStore(t)
	require.NoError(t, put(s, ballot(1), "a", []byte("one")))
	require.NoError(t, s.Flush())
	require.NoError(t, os.Remove(s.Path("a")))
	if err := makePipe(s.Path("a")); err != nil {
		t.Skip("no pipes here:", err)
	}
	done := make(chan bool)
	go func() {
		_, ok := s.ReadSmall("a", recordOf("a", []byte("one")).SHA256, 1000)
		done <- ok
	}()
	select {
	case ok := <-done:
		assert.False(t, ok)
	case <-time.After(time.Minute):
		require.Fail(t, "it waits for the pipe")
	}
}

// Who opens a small content between its commit and its file waits for the file, whether
// nothing of that is there yet or a part.
func TestOpenWhileTheFileIsMade(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		d := NewMemDisk()
		s, err := Open(Options{Disk: d, Positions: testPositions, Small: 1 << 10})
		require.NoError(t, err)
		data := content(1, 100)
		d.SetLatency(time.Second) // for the commit, and for writing the file
		stored := make(chan error, 1)
		go func() { stored <- put(s, ballot(1), "a", data) }()
		for i := range 40 {
			time.Sleep(100 * time.Millisecond)
			c, err := s.Open("a", recordOf("a", data).SHA256)
			if err == nil {
				assert.Equal(t, int64(100), c.Size())
				require.NoError(t, c.Close())
				continue
			}
			require.ErrorIs(t, err, ErrNotFound, "try %d", i)
			require.NotErrorIs(t, err, errGone, "try %d", i)
		}
		require.NoError(t, <-stored)
		d.SetLatency(0)
		requireContent(t, s, "a", data)
		requireClean(t, s, 1)
		require.NoError(t, s.Close())
	})
}

// A disk that is full when a small file is made leaves nothing of it lying about. The
// journal has the content, and a start makes the file.
func TestNoRoomForASmallFile(t *testing.T) {
	d := NewMemDisk()
	o := Options{Disk: d, Positions: testPositions, Small: 1 << 10}
	s, err := Open(o)
	require.NoError(t, err)
	data := content(1, 100)
	d.SetFault(func(op Op, at string) error {
		if op == OpWrite && strings.HasPrefix(at, filesDir) {
			return ErrNoSpace
		}
		return nil
	})
	require.ErrorIs(t, put(s, ballot(1), "a", data), ErrNoSpace)
	d.SetFault(nil)
	entries, err := d.list(positionDir(testPositions[0]))
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, s.Close())
	s, err = Open(o)
	require.NoError(t, err)
	requireContent(t, s, "a", data)
	require.NoError(t, s.Close())
}
