package filestore

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// readBeneath reads the first size bytes of a file below a directory by three system
// calls, where os.Root opens each directory on the way. It goes through no link. After
// an error nothing is known: the kernel may not offer it (before Linux 5.6, or in a
// sandbox).
func readBeneath(dir *os.File, path string, size int64) ([]byte, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	fd, err := unix.Openat2(int(dir.Fd()), path, &how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	content := make([]byte, size)
	for done := 0; err == nil && done < len(content); {
		var n int
		n, err = unix.Read(fd, content[done:])
		switch {
		case errors.Is(err, unix.EINTR):
			err = nil
		case err == nil && n == 0:
			err = io.ErrUnexpectedEOF
		default:
			done += n
		}
	}
	return content, errors.Join(err, unix.Close(fd))
}
