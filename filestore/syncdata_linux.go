package filestore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData is Sync without what only says when the file was changed, which may cost a
// write of its own.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
