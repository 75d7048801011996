package watch

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ground is where the watched folder is: its place, and the disk that this is on.
type ground struct {
	place
	// disk is what tells its file system from others, also after a restart,
	// when devices may have other numbers. 0: that is not known.
	disk uint64
}

// groundOf looks at the watched folder.
func groundOf(dir string, disk func(path string) uint64) (ground, fs.FileInfo, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return ground{}, nil, err
	}
	return ground{placeOf(info), disk(dir)}, info, nil
}

// other reports whether the folder that is now there is another one than g. The
// inode does not tell by itself: that of the topmost folder is the same on every
// disk of one kind. A device's number does only while it is in use.
func (g ground) other(now ground) bool {
	switch {
	case g == ground{}:
		return false // nothing is known
	case g.inode != now.inode:
		return true
	case g.disk != 0 && now.disk != 0:
		return g.disk != now.disk
	}
	return g.device != 0 && g.device != now.device
}

// diskBelow is the disk of a folder in the watched one, top, as in Entry: 0 if
// it is the same, 1 if it is another one that does not tell which.
func diskBelow(top, at place, full string, disk func(path string) uint64) uint64 {
	if at.device == top.device {
		return 0
	}
	return max(disk(full), 1)
}

// diskAbove is the disk, as in Entry, of the nearest folder that is there of
// those in which the file name is, or was.
func diskAbove(root, name string, disk func(path string) uint64) uint64 {
	info, err := os.Stat(root)
	if err != nil {
		return 0
	}
	full, top := root, placeOf(info)
	nearest := top
	for _, segment := range strings.Split(path.Dir(name), "/") {
		below := filepath.Join(full, segment)
		info, err := os.Lstat(below)
		if err != nil || !info.IsDir() {
			break
		}
		full, nearest = below, placeOf(info)
	}
	return diskBelow(top, nearest, full, disk)
}
