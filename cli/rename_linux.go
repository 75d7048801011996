package cli

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames a file within dir, unless the new name is taken: fs.ErrExist. It
// is errors.ErrUnsupported where the file system cannot tell.
func renameNew(dir *os.File, from, to string) error {
	fd := int(dir.Fd())
	err := unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
