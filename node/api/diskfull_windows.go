package api

import (
	"errors"
	"syscall"
)

// DiskFull reports whether err says that there is no room to write.
func DiskFull(err error) bool {
	const diskIsFull = syscall.Errno(112) // ERROR_DISK_FULL
	return errors.Is(err, diskIsFull)
}
