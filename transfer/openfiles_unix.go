//go:build unix

package transfer

import (
	"math"
	"syscall"
)

// MaxOpenFiles is how many file descriptors this process may have.
func MaxOpenFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:gosec,unconvert // signed on some systems
}
