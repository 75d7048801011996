//go:build unix

package cli

import (
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
// handed to as well, unless somebody else has locked it. On a file system without locks
// it says that it has.
func tryLock(file *os.File) (unlock func(), locked bool) {
	fd := int(file.Fd())
	switch unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) {
	case nil:
	case unix.EWOULDBLOCK, unix.EACCES, unix.EINTR: // EACCES by servers of files
		return nil, false
	default:
		return func() {}, true
	}
	held, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil { // no descriptor left: then it is locked until it is closed
		return func() {}, true
	}
	return func() { _ = unix.Close(held) }, true
}
