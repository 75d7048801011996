package filestore

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// tidying is the work of one tidy: what is on the disk and not yet accounted
// for, and the directories to sync.
type tidying struct {
	store   *Store
	dirs    []string
	present map[string]fs.FileMode // the type of each
	dirty   map[string]bool
}

// tidy finishes what a crash interrupted, counts what is held, and removes or
// quarantines the rest. Names are compared as the directory lists them, since
// a file system may take a path for another one.
func (s *Store) tidy() error {
	dirs, err := s.positionDirs()
	if err != nil {
		return err
	}
	t := &tidying{store: s, dirs: dirs, present: map[string]fs.FileMode{}, dirty: map[string]bool{}}
	for _, dir := range dirs {
		entries, err := s.disk.list(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			t.present[path.Join(dir, e.Name())] = e.Type()
		}
	}
	if err := t.registers(); err != nil {
		return err
	}
	if err := t.contents(); err != nil {
		return err
	}
	if err := t.strangers(); err != nil {
		return err
	}
	if err := t.lists(); err != nil {
		return err
	}
	return t.sync()
}

// sync makes what was done to the directories durable.
func (t *tidying) sync() error {
	for _, dir := range slices.Sorted(maps.Keys(t.dirty)) {
		if err := t.store.syncDir(dir); err != nil {
			return err
		}
	}
	clear(t.dirty)
	return nil
}

// registers makes every register agree with the files.
func (t *tidying) registers() error {
	start := []byte{prefixRegister}
	for {
		pairs, err := t.store.tab.page(start, registersPage)
		if err != nil {
			return err
		}
		var writes []write
		for _, p := range pairs {
			c, ok := splitRegisterKey(p.key)
			if !ok {
				break
			}
			e, err := decodeEntry(p.key, p.value)
			if err != nil {
				return err
			}
			changed, err := t.register(c.Name, e)
			if err != nil {
				return err
			}
			t.store.resum(c.Name, &entry{}, e)
			if changed {
				value, err := e.encode(p.key)
				if err != nil {
					return err
				}
				writes = append(writes, write{p.key, value})
			}
		}
		if len(writes) > 0 {
			// A sweep is forgotten only once the file can not come back.
			if err := t.sync(); err != nil {
				return err
			}
			if err := orGiveBack(t.store.disk, func() error { return t.store.tab.apply(writes) }); err != nil {
				return err
			}
		}
		if len(pairs) < registersPage {
			return nil
		}
		start = pairs[len(pairs)-1].key
	}
}

// register makes e and name's file agree, and reports whether e changed.
func (t *tidying) register(name string, e *entry) (bool, error) {
	s := t.store
	visible, err := s.visible(name)
	if err != nil {
		return false, err
	}
	if e.Sweep {
		e.Sweep = false
		if t.regular(visible) && t.ours(visible) {
			return true, t.remove(visible)
		}
		return true, nil
	}
	if !e.Held {
		return false, nil
	}
	if restored, err := t.restore(visible, e); err != nil {
		return false, err
	} else if restored {
		s.count(e.Record, 1)
		return false, nil
	}
	at := t.find(visible, e.File)
	if at == "" {
		s.log.Error("content is gone", "name", name, "path", s.disk.path(visible))
		e.Held, e.File = false, ""
		return true, nil
	}
	if at != visible {
		if err := s.disk.rename(at, visible); err != nil {
			return false, err
		}
		t.dirty[path.Dir(at)], t.dirty[path.Dir(visible)] = true, true
		delete(t.present, at)
	}
	delete(t.present, visible)
	s.count(e.Record, 1)
	return false, nil
}

// find returns where the content is that belongs at visible: still under its
// temporary name, there, or in the directory of a former position.
func (t *tidying) find(visible, staged string) string {
	places := []string{staged, visible}
	for _, dir := range t.dirs {
		places = append(places, path.Join(dir, path.Base(visible)))
	}
	for _, p := range places {
		if t.regular(p) {
			return p
		}
	}
	return ""
}

// regular reports whether a regular file is at a path.
func (t *tidying) regular(at string) bool {
	mode, ok := t.present[at]
	return ok && mode.IsRegular()
}

// ours reports whether a file was put there by a store, as far as can be told.
func (t *tidying) ours(at string) bool {
	if !t.store.hasAttrs {
		return true
	}
	f, err := t.store.disk.open(at)
	if err != nil {
		return false
	}
	value, err := f.attr()
	_ = f.Close()
	if err != nil {
		return false
	}
	_, err = decodeEntry(nil, value)
	return err == nil
}

func (t *tidying) remove(at string) error {
	delete(t.present, at)
	t.dirty[path.Dir(at)] = true
	return t.store.disk.remove(at)
}

// strangers removes temporary files and quarantines what no register names.
func (t *tidying) strangers() error {
	s := t.store
	for _, at := range slices.Sorted(maps.Keys(t.present)) {
		var err error
		if isTemp(path.Base(at)) && t.regular(at) {
			err = t.remove(at)
		} else {
			err = s.quarantine(at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lists removes the hash lists that no content uses, and temporary files.
func (t *tidying) lists() error {
	s := t.store
	for _, dir := range []string{filesDir, listsDir} {
		entries, err := s.disk.list(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			var root Hash
			at := path.Join(dir, e.Name())
			unused := dir == listsDir && root.UnmarshalText([]byte(e.Name())) == nil && s.lists[root] == 0
			if !unused && !isTemp(e.Name()) {
				continue
			}
			if err := s.disk.remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			t.dirty[dir] = true
		}
	}
	return nil
}
