package filestore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// flush has the whole file system written out, which for many small files is much
// faster than one after the other.
func (d *osDisk) flush(files []string) error {
	if !syncfsReports() {
		return flushEach(d, files)
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	if err = unix.Syncfs(int(f.Fd())); err != nil {
		err = fmt.Errorf("%w: syncfs: %w", errSync, err)
	}
	return errors.Join(err, f.Close())
}

// syncfsReports tells whether syncfs reports what could not be written: since
// Linux 5.8.
func syncfsReports() bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var major, minor int
	_, _ = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major > 5 || major == 5 && minor >= 8
}
