//go:build unix

package api

import (
	"errors"
	"syscall"
)

// DiskFull reports whether err says that there is no room to write.
func DiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
