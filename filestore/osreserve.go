package filestore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// reserveFile is the file that takes the space set aside. Its bytes are random,
// so that no file system stores fewer.
const reserveFile = "reserve"

func (d *osDisk) setAside() error {
	info, err := d.root.Lstat(reserveFile)
	if err == nil && info.Size() == reserveSize {
		return nil
	}
	if err == nil {
		err = d.root.Remove(reserveFile)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	free, err := d.free()
	if err != nil {
		return err
	}
	if free < 2*reserveSize { // what is set aside must not be what fills the disk
		return fmt.Errorf("set space aside: %w: %d bytes free", ErrNoSpace, free)
	}
	f, err := d.root.OpenFile(reserveFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, reserveSize)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(noSpace(err), d.root.Remove(reserveFile))
	}
	return err
}

func (d *osDisk) giveBack() error { return d.root.Remove(reserveFile) }
