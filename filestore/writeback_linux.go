package filestore

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache has the kernel forget what it remembers of a file. It is a hint.
func dropCache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// beginWriteback starts writing a range out without waiting. It is a hint: a
// failure shows in the sync that follows.
func beginWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}
