package watch

import "golang.org/x/sys/unix"

// diskOf is what statfs(2) says of the file system of a path: a part of its UUID
// or, with some, of its device. Network file systems and FUSE have nothing to say.
func diskOf(path string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return 0
	}
	return uint64(uint32(s.Fsid.Val[1]))<<32 | uint64(uint32(s.Fsid.Val[0]))
}
