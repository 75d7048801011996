package filestore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Whole chunks are written and read past the system's memory; the rest, which is
// no multiple of a block, is not, and what comes back is the same.
func TestLargeContentIsNotLeftInMemory(t *testing.T) {
	f, content := writeLarge(t, t.TempDir())
	var has unix.Cachestat_t
	err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Len: 1}, &has, 0)
	if f.direct.refused || err != nil {
		t.Skipf("NOT TESTED: this file system or kernel cannot: %v", err)
	}
	const whole = 2 * ChunkSize // what follows is not written by whole blocks
	require.NoError(t, f.sync())
	assert.False(t, f.inMemory(0, whole), "after writing")
	readLarge(t, f, content)
	assert.False(t, f.inMemory(0, whole), "after reading")
	plain, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, plain))
	assert.True(t, f.inMemory(0, whole), "somebody else has read it")
	readLarge(t, f, content)
}

// A file system that knows only the usual way is written and read in that way.
func TestLargeContentWhereMemoryCannotBePassedBy(t *testing.T) {
	f, content := writeLarge(t, t.TempDir(), func(f *osFile) { f.direct.refused = true })
	assert.True(t, f.inMemory(0, ChunkSize))
	readLarge(t, f, content)
	if _, err := os.Stat("/dev/shm"); err == nil {
		dir, err := os.MkdirTemp("/dev/shm", "dhtfs-test-") //nolint:usetesting // a file system in memory
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
		f, content = writeLarge(t, dir)
		readLarge(t, f, content)
	}
}

// writeLarge writes chunks of all kinds to a new file.
func writeLarge(t *testing.T, dir string, prepare ...func(*osFile)) (*osFile, []byte) {
	t.Helper()
	d := OSDisk(dir).(*osDisk)
	unlock, err := d.lock()
	require.NoError(t, err)
	t.Cleanup(unlock)
	created, err := d.create("f")
	require.NoError(t, err)
	f := created.(*osFile)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	for _, p := range prepare {
		p(f)
	}
	var content []byte
	aligned, crooked := make([]byte, ChunkSize), make([]byte, ChunkSize+1)[1:]
	for _, p := range [][]byte{aligned, aligned, aligned[:ChunkSize-directBlock], crooked, aligned, aligned[:12345], aligned} {
		_, _ = rand.Read(p) // never fails
		n, err := f.Write(p)
		require.NoError(t, err)
		require.Len(t, p, n)
		content = append(content, p...)
	}
	return f, content
}

func readLarge(t *testing.T, f *osFile, content []byte) {
	t.Helper()
	buf := make([]byte, ChunkSize)
	for off := 0; off < len(content); off += ChunkSize {
		n, err := f.ReadAt(buf[:min(ChunkSize, len(content)-off)], int64(off))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content[off:off+n], buf[:n]), "at %d", off)
	}
	_, err := f.ReadAt(buf, int64(len(content)&^(ChunkSize-1)))
	require.ErrorIs(t, err, io.EOF)
}

// Whoever reads a file while it is closed gets what there is, or is told; nothing else
// is closed or read in its place, and no descriptor is left.
func TestCloseWhileReading(t *testing.T) {
	f, content := writeLarge(t, t.TempDir())
	require.NoError(t, f.sync())
	before := descriptors(t)
	for range 50 {
		opened, err := os.Open(f.Name())
		require.NoError(t, err)
		g := &osFile{File: opened}
		g.uncache()
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				buf := make([]byte, ChunkSize)
				for {
					_, err := g.ReadAt(buf, 0)
					if errors.Is(err, os.ErrClosed) {
						return
					}
					assert.NoError(t, err)
					assert.True(t, bytes.Equal(content[:ChunkSize], buf))
				}
			})
		}
		time.Sleep(100 * time.Microsecond)
		require.NoError(t, g.Close())
		readers.Wait()
	}
	assert.Equal(t, before, descriptors(t))
}

// descriptors counts those that this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
