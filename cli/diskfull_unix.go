//go:build unix

package cli

import (
	"errors"
	"syscall"
)

// diskFull reports whether err says that there is no room to write.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
