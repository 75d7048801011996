package filestore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// flush has the whole file system written out, which for many small files is much
// faster than one after the other. The descriptor is as old as the store: one is told of
// what could not be written since it was opened, and to a new one an error that another
// program has been told of is none.
func (d *osDisk) flush(files []string) error {
	if !syncfsReports() {
		return flushEach(d, files)
	}
	if err := unix.Syncfs(int(d.base.Fd())); err != nil {
		return fmt.Errorf("%w: syncfs: %w", errSync, err)
	}
	return nil
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
