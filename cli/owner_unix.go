//go:build unix

package cli

import (
	"io/fs"
	"os"
	"syscall"
)

// solelyOurs reports whether a file belongs to this user, has one name and can be
// changed by nobody else.
func solelyOurs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && stat.Nlink == 1 && info.Mode().Perm()&0o022 == 0
}
