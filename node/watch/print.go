package watch

import (
	"io/fs"
	"time"
)

// Print is what can be seen of a file without reading it. Two looks at a file
// with the same print in between have seen the same content, as far as a file
// system tells: every write changes the modification time, and what sets that
// back changes the time of change. The zero Print is of no file.
type Print struct {
	Size     int64
	Modified int64  // Unix nanoseconds
	Inode    uint64 // zero where there are none
	Changed  int64  // of the inode, Unix nanoseconds; zero where it is not kept
}

// printOf is the print of a regular file.
func printOf(info fs.FileInfo) Print {
	p := Print{Size: info.Size(), Modified: info.ModTime().UnixNano()}
	_, p.Inode, p.Changed = inodeOf(info)
	return p
}

// place tells one folder from another that has its path later.
type place struct{ device, inode uint64 }

// placeOf is the place of a folder.
func placeOf(info fs.FileInfo) place {
	device, inode, _ := inodeOf(info)
	return place{device, inode}
}

// modified is the modification time.
func (p Print) modified() time.Time { return time.Unix(0, p.Modified) }
