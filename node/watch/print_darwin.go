package watch

import (
	"io/fs"
	"syscall"
)

func inodeOf(info fs.FileInfo) (device, inode uint64, changed int64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev), s.Ino, s.Ctimespec.Nano()
	}
	return 0, 0, 0
}
