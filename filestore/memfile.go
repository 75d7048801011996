package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// memFile is an open file of a MemDisk.
type memFile struct {
	disk *MemDisk
	node *memNode
	path string
	life int // of the disk, when it was opened
}

func (f *memFile) Write(p []byte) (int, error) { return f.write(p, -1) }

func (f *memFile) WriteAt(p []byte, off int64) (int, error) { return f.write(p, int(off)) }

// write writes p at an offset, or at the end if that is negative.
func (f *memFile) write(p []byte, from int) (int, error) {
	n := f.node
	if !n.free { // a commit takes its time when it is synced
		f.disk.linger()
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.dead("write"); err != nil {
		return 0, err
	}
	if from < 0 {
		from = len(n.data)
	}
	op := OpWrite
	if n.free {
		op = OpCommit
	}
	err := f.disk.check(op, f.path)
	if err != nil {
		p = p[:len(p)/2]
	}
	if room := f.disk.capacity - f.disk.used; !n.free && int64(len(p)) > room {
		p = p[:max(0, room)]
		err = fmt.Errorf("write %s: %w", f.path, ErrNoSpace)
	}
	to := from + len(p)
	w := span{from: from, to: to}
	if from < len(n.data) {
		w.before = slices.Clone(n.data[from:min(to, len(n.data))])
	}
	if more := to - len(n.data); more > 0 {
		n.data = append(n.data, make([]byte, more)...)
		if !n.free {
			f.disk.used += int64(more)
		}
	}
	copy(n.data[from:], p)
	n.writes = append(n.writes, w)
	return len(p), err
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.disk.linger()
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.check(OpRead, f.path); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memFile) setAttr(value []byte) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.noAttrs {
		return errors.ErrUnsupported
	}
	f.node.attr = slices.Clone(value)
	return nil
}

func (f *memFile) attr() ([]byte, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.noAttrs {
		return nil, errors.ErrUnsupported
	}
	if f.node.attr == nil {
		return nil, fmt.Errorf("%s: %w", f.path, fs.ErrNotExist)
	}
	return slices.Clone(f.node.attr), nil
}

// dead fails for a file that was open when the power went: whoever wrote to it is no
// more, and may only still be closed.
func (f *memFile) dead(op string) error {
	if f.life == f.disk.life {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.path, Err: fs.ErrClosed}
}

func (f *memFile) uncache() {}

func (f *memFile) Close() error { return nil }
