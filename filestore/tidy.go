package filestore

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// restoreAtOnce is how many small files a start looks through at a time.
const restoreAtOnce = 32

// tidying is the work of one tidy: what is on the disk and not yet accounted
// for, and the directories to sync.
type tidying struct {
	store   *Store
	dirs    []string
	present map[string]fs.FileMode // the type of each
	dirty   map[string]bool

	mu       sync.Mutex // guards what follows, and the maps while files are restored
	restored []tidied   // whose content is in the journal
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
		page, err := t.decode(pairs)
		if err != nil {
			return err
		}
		if err := t.restoreAll(page); err != nil {
			return err
		}
		var writes []write
		for _, r := range page {
			changed, err := t.register(r)
			if err != nil {
				return err
			}
			t.store.resum(r.name, &entry{}, r.entry)
			if changed {
				value, err := r.entry.encode(r.key)
				if err != nil {
					return err
				}
				writes = append(writes, write{r.key, value})
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

// tidied is a register on its way through registers.
type tidied struct {
	key      []byte
	name     string
	visible  string
	entry    *entry
	restored bool // its file was made anew
}

// decode returns the registers of a page, up to what is no register.
func (t *tidying) decode(pairs []pair) (page []tidied, err error) {
	for _, p := range pairs {
		c, ok := splitRegisterKey(p.key)
		if !ok {
			break
		}
		r := tidied{key: p.key, name: c.Name}
		if r.entry, err = decodeEntry(p.key, p.value); err != nil {
			return nil, err
		}
		if r.visible, err = t.store.visible(c.Name); err != nil {
			return nil, err
		}
		page = append(page, r)
	}
	return page, nil
}

// restoreAll restores those that are held, many at once: after a crash there may be
// thousands, and a disk that takes long for each.
func (t *tidying) restoreAll(page []tidied) error {
	var g errgroup.Group
	g.SetLimit(restoreAtOnce)
	for i := range page {
		if r := &page[i]; r.entry.Held && !r.entry.Sweep {
			g.Go(func() (err error) {
				r.restored, err = t.restore(r.visible, r.entry)
				return err
			})
		}
	}
	return g.Wait()
}

// register makes a register and its file agree, and reports whether the entry changed.
func (t *tidying) register(r tidied) (bool, error) {
	s, name, visible, e := t.store, r.name, r.visible, r.entry
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
	if r.restored {
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
	t.mu.Lock()
	defer t.mu.Unlock()
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
	t.gone(at)
	return t.store.disk.remove(at)
}

// gone notes that there is nothing at a path any more, or that its file is accounted for.
func (t *tidying) gone(at string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.present, at)
	t.dirty[path.Dir(at)] = true
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
