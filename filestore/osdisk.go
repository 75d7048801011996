package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// osDisk is a directory of the operating system, reached through os.Root.
type osDisk struct {
	dir  string
	root *os.Root // while it is locked, as is
	base *os.File // the directory, for readBeneath
}

// OSDisk returns the Disk that is the directory dir, which Open makes if it is
// missing.
func OSDisk(dir string) Disk { return &osDisk{dir: dir} }

func (d *osDisk) lock() (func(), error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(d.dir, "lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrLocked, d.dir)
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	base, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close(), l.Unlock())
	}
	d.root, d.base = root, base
	return func() {
		_ = base.Close()
		_ = root.Close()
		_ = l.Unlock()
	}, nil
}

func (d *osDisk) open(path string) (file, error) {
	path = filepath.FromSlash(path)
	before, err := d.root.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	f, err := d.root.Open(path)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		return nil, errors.Join(fmt.Errorf("open %s: %w: replaced meanwhile", path, fs.ErrNotExist), err, f.Close())
	}
	return &osFile{File: f}, nil
}

func (d *osDisk) create(path string) (file, error) {
	f, err := d.root.OpenFile(filepath.FromSlash(path), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, noSpace(err)
	}
	return &osFile{File: f}, nil
}

func (d *osDisk) edit(path string) (editable, error) {
	path = filepath.FromSlash(path)
	if info, err := d.root.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	f, err := d.root.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, noSpace(err)
	}
	return &osFile{File: f}, nil
}

func (d *osDisk) mkdir(path string) error {
	err := d.root.Mkdir(filepath.FromSlash(path), 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := d.stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: not a directory", path)
	}
	return err
}

func (d *osDisk) list(dir string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	return entries, errors.Join(err, f.Close())
}

func (d *osDisk) stat(path string) (fs.FileInfo, error) {
	return d.root.Lstat(filepath.FromSlash(path))
}

func (d *osDisk) rename(from, to string) error {
	return d.root.Rename(filepath.FromSlash(from), filepath.FromSlash(to))
}

func (d *osDisk) remove(path string) error { return d.root.Remove(filepath.FromSlash(path)) }

func (d *osDisk) touch(path string, mode fs.FileMode, modified time.Time) error {
	path = filepath.FromSlash(path)
	if err := d.root.Chmod(path, mode); err != nil {
		return err
	}
	if modified.IsZero() {
		return nil
	}
	return d.root.Chtimes(path, modified, modified)
}

func (d *osDisk) syncDir(dir string) error {
	f, err := d.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	return errors.Join(syncDirFile(f), f.Close())
}

func (d *osDisk) free() (int64, error)    { return freeBytes(d.dir) }
func (d *osDisk) path(path string) string { return filepath.Join(d.dir, filepath.FromSlash(path)) }

// writebackStep is how much is written before the kernel is asked to begin
// putting it on the disk, so that the sync at the end has little left to do.
const writebackStep = 8 << 20

// osFile is a file of the operating system.
type osFile struct {
	*os.File
	written, begun int64
	direct         direct
}

func (f *osFile) Write(p []byte) (int, error) {
	n, err := f.append(p)
	f.written += int64(n)
	switch {
	case f.direct.on:
		f.begun = f.written
	case f.written-f.begun >= writebackStep:
		beginWriteback(f.File, f.begun, f.written-f.begun)
		f.begun = f.written
	}
	return n, noSpace(err)
}

// noSpace makes err match ErrNoSpace if that is what it means.
func noSpace(err error) error {
	if err != nil && isNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

func (f *osFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) sync() error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errSync, err)
	}
	return nil
}

func (f *osFile) syncData() error {
	if err := syncData(f.File); err != nil {
		return fmt.Errorf("%w: %w", errSync, err)
	}
	return nil
}

func (f *osFile) uncache() { dropCache(f.File) }

func (f *osFile) setAttr(value []byte) error { return setAttr(f.File, value) }
func (f *osFile) attr() ([]byte, error)      { return getAttr(f.File) }
