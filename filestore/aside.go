package filestore

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// asideLayout begins the name of each folder in quarantine: when it was made.
const asideLayout = "20060102T150405Z"

// Aside is what is in quarantine.
type Aside struct {
	Files int
	Bytes int64
}

// asideFile is one file there.
type asideFile struct {
	path  string
	size  int64
	since time.Time
}

// Quarantined counts what is in quarantine.
func (s *Store) Quarantined() (Aside, error) {
	var a Aside
	l, err := s.asideFiles()
	for _, f := range l {
		a.Files++
		a.Bytes += f.size
	}
	return a, err
}

// TrimQuarantine removes files from quarantine and returns what is gone: those that
// have been there for longer than age, and then the oldest until the rest has no
// more than most bytes. The newest goes only by its age. Folders that somebody has
// put among the files, and what is in them, are left.
func (s *Store) TrimQuarantine(age time.Duration, most int64) (gone Aside, err error) {
	if err := s.beginWrite(); err != nil {
		return gone, err
	}
	defer s.end()
	l, err := s.asideFiles()
	if err != nil {
		return gone, err
	}
	var bytes int64
	for _, f := range l {
		bytes += f.size
	}
	for i, f := range l { // the oldest first
		if time.Since(f.since) <= age && (bytes <= most || i == len(l)-1) {
			continue
		}
		if err := s.disk.remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gone, s.fail(err)
		}
		_ = s.disk.remove(path.Dir(f.path)) // if nothing else is in it
		s.log.Warn("removed from quarantine", "path", s.disk.path(f.path), "bytes", f.size, "since", f.since)
		bytes -= f.size
		gone.Files++
		gone.Bytes += f.size
	}
	if gone.Files > 0 {
		err = s.syncDir(quarantineDir)
	}
	return gone, err
}

// asideFiles lists the files in quarantine, the oldest first.
func (s *Store) asideFiles() ([]asideFile, error) {
	dirs, err := s.disk.list(quarantineDir)
	if err != nil {
		return nil, err
	}
	var l []asideFile
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		dir := path.Join(quarantineDir, d.Name())
		files, err := s.disk.list(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			info, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
				continue
			}
			if err != nil {
				return nil, err
			}
			l = append(l, asideFile{path.Join(dir, f.Name()), info.Size(), asideSince(d.Name())})
		}
	}
	slices.SortFunc(l, func(a, b asideFile) int { return strings.Compare(a.path, b.path) }) // which is by time
	return l, nil
}

// asideSince is when a folder in quarantine was made.
func asideSince(dir string) time.Time {
	since, err := time.Parse(asideLayout, dir[:min(len(dir), len(asideLayout))])
	if err != nil {
		return time.Now() // somebody else's
	}
	return since
}
