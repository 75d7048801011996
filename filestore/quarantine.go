package filestore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"
)

// lose gives up the copy c was opened from, if it is still the one in use: its
// register is no longer held, and the file is put into quarantine. It returns
// cause with whatever went wrong on the way.
func (s *Store) lose(c *Content, cause error) error {
	lost, err := s.condemn(c, cause)
	if lost {
		s.onDamage(c.name)
	}
	return errors.Join(cause, err)
}

// condemn does what lose says, and reports whether the copy was in use.
func (s *Store) condemn(c *Content, cause error) (lost bool, err error) {
	visible, err := s.visible(c.name)
	if err != nil {
		return false, err
	}
	leave := s.enter(visible)
	defer leave()
	e, err := s.load(c.name)
	if err != nil {
		return false, err
	}
	if !e.Held || e.File != c.staged {
		s.loseStage(c)
		return false, nil
	}
	s.log.Error("content is damaged", "name", c.name, "path", s.disk.path(visible), "err", cause)
	if s.isUnflushed(e) { // first, so that a flush under way does not let it go
		s.note(e, visible, false)
	}
	good := s.journaled(e)
	if good == nil {
		s.forgotten(e)
		s.giveUp(e)
	}
	at := e.File
	if _, err := s.disk.stat(at); errors.Is(err, fs.ErrNotExist) {
		at = visible
	}
	if err := s.quarantine(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("cannot quarantine", "path", s.disk.path(at), "err", err)
	}
	if good != nil {
		return false, s.place(visible, e, good)
	}
	content := write{key: contentKey(e.File)}
	e.Held, e.File = false, ""
	key := registerKey(c.name)
	value, err := e.encode(key)
	if err == nil {
		err = s.commit(write{key, value}, content)
	}
	if errors.Is(err, ErrDegraded) {
		err = nil // remembered all the same, until the next Open finds it again
	}
	return true, err
}

// loseStage drops the sealed stage that c was opened from.
func (s *Store) loseStage(c *Content) {
	s.mu.Lock()
	stages := slices.Clone(s.sealed[c.name])
	s.mu.Unlock()
	for _, st := range stages {
		if st.path == c.staged {
			st.drop()
		}
	}
}

// giveUp takes e's content, damaged or gone, for not held from now on.
func (s *Store) giveUp(e *entry) {
	s.mu.Lock()
	known := s.damaged[e.File]
	s.damaged[e.File] = true
	s.mu.Unlock()
	if !known {
		lost := *e
		lost.Held = false
		s.resum(e.Record.Name, e, &lost)
		s.dropList(e.Record.Root, s.count(e.Record, -1))
	}
}

// quarantine moves a file out of the way, under its own name, for a person to
// look at.
func (s *Store) quarantine(at string) error {
	dir := path.Join(quarantineDir, time.Now().UTC().Format(asideLayout)+"-"+rand.Text()[:10])
	if err := s.disk.mkdir(dir); err != nil {
		return s.fail(err)
	}
	to := path.Join(dir, path.Base(at))
	if err := s.disk.rename(at, to); err != nil {
		return errors.Join(s.fail(err), s.disk.remove(dir))
	}
	s.log.Warn("moved to quarantine", "from", s.disk.path(at), "to", s.disk.path(to))
	for _, changed := range []string{path.Dir(at), dir, quarantineDir} {
		if err := s.syncDir(changed); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}
