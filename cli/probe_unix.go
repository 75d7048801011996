//go:build linux || darwin

package cli

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// probeAttribute gives a file an extended attribute.
func probeAttribute(f *os.File) error {
	return unix.Fsetxattr(int(f.Fd()), "user.dhtfs", []byte("probe"), 0)
}

// openFileLimit is how many files this user may have open.
func openFileLimit() (uint64, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}

// exposed reports whether other users can look into a directory.
func exposed(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
