//go:build linux || darwin

package filestore

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const attrName = "user.dhtfs"

func setAttr(f *os.File, value []byte) error {
	return attrError(f, unix.Fsetxattr(int(f.Fd()), attrName, value, 0))
}

func getAttr(f *os.File) ([]byte, error) {
	value := make([]byte, 64<<10) // the most that Linux keeps
	n, err := unix.Fgetxattr(int(f.Fd()), attrName, value)
	if err != nil {
		return nil, attrError(f, err)
	}
	return value[:n], nil
}

func attrError(f *os.File, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%s of %s: %w", attrName, f.Name(), errors.ErrUnsupported)
	}
	return &os.PathError{Op: "xattr", Path: f.Name(), Err: err}
}
