//go:build unix

package cli

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// solelyOurs reports whether a file belongs to this user, has one name and can be
// changed by nobody else.
func solelyOurs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && stat.Nlink == 1 && info.Mode().Perm()&0o022 == 0
}

// tryLock locks a file until unlock is called and the file is closed, by whomever it was
// handed to as well; nil if somebody else has locked it.
func tryLock(file *os.File) (unlock func(), err error) {
	fd := int(file.Fd())
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, unix.ENOLCK): // a file system without locks
		return func() {}, nil
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
		return nil, nil
	case err != nil:
		return nil, os.NewSyscallError("flock", err)
	}
	held, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return func() { _ = unix.Close(held) }, nil
}
