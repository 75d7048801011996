package filestore

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWriteback starts writing a range out without waiting. It is a hint: a
// failure shows in the sync that follows.
func beginWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}
