package watch

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags: a pipe that has taken the file's place does not block.
const openFlags = syscall.O_NONBLOCK

// isBeingWritten reports whether any process of this machine has the file open
// for writing. The system grants a read lease only when none has (fcntl(2)); it
// is given back at once, so that nobody who opens the file has to wait for it.
// Where leases are not to be had, as on network file systems, the answer is no.
func isBeingWritten(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	written := false
	_ = conn.Control(func(fd uintptr) {
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		if err == nil {
			_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		}
		written = errors.Is(err, unix.EAGAIN)
	})
	return written
}
