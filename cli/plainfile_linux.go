package cli

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What is done here is done in an open folder and by plain names, so that nothing leads
// out of it, with as few system calls as it takes: package os makes fourteen for a file.

// writeNew makes a file of content in the folder whose descriptor is dir, with its
// permissions and, unless it is zero, its time; fs.ErrExist if there is one.
func writeNew(dir int, name string, content []byte, mode os.FileMode, modified time.Time, sync bool) (err error) {
	failed := func(op string, err error) error { return &os.PathError{Op: op, Path: name, Err: err} }
	var fd int
	for {
		fd, err = unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return failed("open", err)
	}
	defer func() {
		if closed := unix.Close(fd); err == nil && closed != nil {
			err = failed("close", closed)
		}
	}()
	for len(content) > 0 {
		n, err := unix.Write(fd, content)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return failed("write", err)
		}
		content = content[max(n, 0):]
	}
	if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
		return failed("chmod", err)
	}
	if !modified.IsZero() {
		at, err := unix.TimeToTimespec(modified)
		if err == nil {
			err = unix.UtimesNanoAt(dir, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
		}
		if err != nil {
			return failed("chtimes", err)
		}
	}
	if sync {
		if err := unix.Fsync(fd); err != nil {
			return failed("sync", err)
		}
	}
	return nil
}

// renameNew renames a file within the folder whose descriptor is dir, unless the new
// name is taken: fs.ErrExist. It is errors.ErrUnsupported where the file system cannot tell.
func renameNew(dir int, from, to string) error {
	err := unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
