package filestore

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func freeBytes(dir string) (int64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "free space", Path: dir, Err: err}
	}
	return int64(free), nil
}

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// isBroken reports whether an error of writing says that the disk has failed or
// takes no writes any more.
func isBroken(err error) bool {
	return errors.Is(err, windows.ERROR_WRITE_PROTECT) || errors.Is(err, windows.ERROR_IO_DEVICE) ||
		errors.Is(err, windows.ERROR_NOT_READY) || errors.Is(err, windows.ERROR_CRC)
}

// isPassing reports whether an error of opening or reading is no fault of the
// file: the system has run out of something, or another program has the file.
func isPassing(err error) bool {
	return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) || errors.Is(err, windows.ERROR_NOT_ENOUGH_MEMORY) ||
		errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
}

// syncDirFile does nothing: Windows cannot sync a directory, NTFS journals it.
func syncDirFile(*os.File) error { return nil }
