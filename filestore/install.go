package filestore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// dress is what a content's file has besides the content. It is a convenience:
// where the file system refuses one, the content still counts.
type dress struct {
	attr     []byte // the extended attribute; nil: none
	mode     fs.FileMode
	modified time.Time // zero: leave it
}

// dressOf is the dress of the file of e.
func (s *Store) dressOf(e *entry) (dress, error) {
	d := dress{mode: fs.FileMode(e.Record.Mode) & fs.ModePerm}
	if d.mode == 0 {
		d.mode = 0o644
	}
	d.mode |= 0o600
	if e.Record.Modified != 0 {
		d.modified = time.Unix(0, e.Record.Modified)
	}
	if !s.hasAttrs {
		return d, nil
	}
	attr, err := e.encode(nil)
	d.attr = attr
	return d, err
}

// dress gives a file the mode, time and attribute of its record.
func (s *Store) dress(f file, at string, e *entry) {
	d, err := s.dressOf(e)
	if err == nil && d.attr != nil {
		err = f.setAttr(d.attr)
	}
	if err != nil {
		s.log.Warn("cannot set the extended attribute", "name", e.Record.Name, "err", err)
	}
	if err := s.disk.touch(at, d.mode, d.modified); err != nil {
		s.log.Warn("cannot set mode and time", "name", e.Record.Name, "err", err)
	}
}

// placing is a small content that the journal has, on its way to its file: by way of
// temp, in the same directory. undressed says what the file has to do without, err
// why there is none; they are the disk's to fill in.
type placing struct {
	temp, visible string
	content       []byte
	as            dress
	undressed     error
	err           error
}

// install makes the file of a small content that the journal has. Those that come
// while others are being made wait for these and are then made together: a
// directory is changed by one at a time in any case.
func (s *Store) install(visible string, e *entry, content []byte) error {
	p := s.placingOf(visible, e, content)
	if err := s.installs.do([]*placing{p}); err != nil {
		return err
	}
	return s.placed(e, p)
}

func (s *Store) placingOf(visible string, e *entry, content []byte) *placing {
	as, err := s.dressOf(e)
	if err != nil {
		s.log.Warn("cannot set the extended attribute", "name", e.Record.Name, "err", err)
	}
	return &placing{temp: e.File, visible: visible, content: content, as: as}
}

// placed is what came of a file that was to be made.
func (s *Store) placed(e *entry, p *placing) error {
	if p.err == nil && p.undressed != nil {
		s.log.Warn("cannot set mode, time or extended attribute", "name", e.Record.Name, "err", p.undressed)
	}
	return s.fail(p.err)
}

// runInstalls makes several files, directory by directory. What fails is told to
// each.
func (s *Store) runInstalls(lists [][]*placing) error {
	byDir := map[string][]*placing{}
	for _, p := range slices.Concat(lists...) {
		dir := path.Dir(p.visible)
		byDir[dir] = append(byDir[dir], p)
	}
	for dir, files := range byDir {
		s.disk.install(dir, files)
		if !errors.Is(files[0].err, fs.ErrNotExist) {
			continue
		}
		if err := s.remake(dir); err == nil { // somebody has removed the directory
			s.disk.install(dir, files)
		}
	}
	return nil
}

// installEach is a Disk's install, one step after the other.
func installEach(d Disk, files []*placing) {
	for _, p := range files {
		p.undressed, p.err = nil, nil
		f, err := d.create(p.temp)
		if err != nil {
			p.err = err
			continue
		}
		_, err = f.Write(p.content)
		if err == nil && p.as.attr != nil {
			p.undressed = f.setAttr(p.as.attr)
		}
		if p.err = errors.Join(err, f.Close()); p.err == nil {
			p.undressed = errors.Join(p.undressed, d.touch(p.temp, p.as.mode, p.as.modified))
			p.err = d.rename(p.temp, p.visible)
		}
		if p.err != nil {
			_ = d.remove(p.temp) // half written, on a full disk
		}
	}
}

// install opens the directory once, which saves most of what a small file costs
// otherwise: each step through root opens every directory on the way.
func (d *osDisk) install(dir string, files []*placing) {
	in, err := d.root.OpenRoot(filepath.FromSlash(dir))
	if err != nil {
		for _, p := range files {
			p.err = err
		}
		return
	}
	defer func() { _ = in.Close() }()
	for _, p := range files {
		p.undressed, p.err = installIn(in, p)
	}
}

func installIn(dir *os.Root, p *placing) (undressed, err error) {
	at := path.Base(p.temp)
	f, err := dir.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, noSpace(err)
	}
	_, err = f.Write(p.content)
	if err == nil {
		if p.as.attr != nil {
			undressed = setAttr(f, p.as.attr)
		}
		undressed = errors.Join(undressed, f.Chmod(p.as.mode))
		if !p.as.modified.IsZero() {
			undressed = errors.Join(undressed, dir.Chtimes(at, p.as.modified, p.as.modified))
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = dir.Rename(at, path.Base(p.visible))
	}
	if err != nil {
		_ = dir.Remove(at) // half written, on a full disk
	}
	return undressed, noSpace(err)
}

// ReadSmall returns the content of name whose SHA-256 is sum, if it is no longer than
// Options.Small and easily had: from its file by one look, for which size has to be
// right, or from the journal; 0: it is not known. The bytes have been checked. Otherwise
// ok is false, which says nothing: Open tells.
func (s *Store) ReadSmall(name string, sum Hash, size int64) (content []byte, ok bool) {
	if s.begin() != nil {
		return nil, false
	}
	defer s.end()
	visible, err := s.visible(name)
	if err != nil {
		return nil, false
	}
	if 0 < size && size <= s.small {
		content, err = s.disk.readAll(visible, size)
		if err == nil && sha256.Sum256(content) == sum { // so what the table says does not matter
			return content, true
		}
	}
	e, err := s.load(name)
	if err != nil || !e.Held || e.Record.SHA256 != sum || e.Record.Size > s.small {
		return nil, false
	}
	content = s.journaled(e)
	if ok = content != nil; !ok && size == 0 {
		content, err = s.disk.readAll(visible, e.Record.Size)
		ok = err == nil
	}
	return content, ok && int64(len(content)) == e.Record.Size && sha256.Sum256(content) == sum
}

// readAllEach is a Disk's readAll by way of open.
func readAllEach(d Disk, at string, size int64) ([]byte, error) {
	f, err := d.open(at)
	if err != nil {
		return nil, err
	}
	content := bytes.NewBuffer(make([]byte, 0, size))
	_, err = io.Copy(content, io.NewSectionReader(f, 0, size))
	return content.Bytes(), errors.Join(err, f.Close())
}

func (d *osDisk) readAll(at string, size int64) ([]byte, error) {
	if content, err := readBeneath(d.base, at, size); err == nil || errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	// Not to wait for a pipe that has taken the file's place.
	f, err := d.root.OpenFile(filepath.FromSlash(at), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	content := make([]byte, size)
	_, err = io.ReadFull(f, content)
	return content, errors.Join(err, f.Close())
}
