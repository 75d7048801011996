package filestore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// recover brings disk and table to where they agree, whatever came between.
func (s *Store) recover() error {
	lost, err := s.openTable()
	if err != nil {
		return err
	}
	if !lost {
		// For a new directory this comes before files/ is made: a table
		// that is missing beside files/ is a lost one.
		if value, err := s.tab.get(keyCounter); err != nil {
			return err
		} else if value == nil {
			if err := s.readyTable(); err != nil {
				return err
			}
		}
	}
	if err := s.makeDirs(); err != nil {
		return err
	}
	if err := s.probe(); err != nil {
		return err
	}
	if lost {
		newest, err := s.rebuild()
		if err != nil {
			return err
		}
		if err := s.readyAgain(newest); err != nil {
			return err
		}
	}
	marker, err := s.tab.get(keyRebuilt)
	if err != nil {
		return err
	}
	s.rebuilt = marker != nil
	if err := s.loadCounter(); err != nil {
		return err
	}
	defer s.tab.started()
	return s.tidy()
}

// openTable opens the table or makes an empty one, and reports whether there
// should have been another.
func (s *Store) openTable() (lost bool, err error) {
	_, err = s.disk.stat(filesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	used := err == nil
	err = s.openJournal(false)
	if err == nil {
		err = s.checkTable()
		if errors.Is(err, errDamagedTable) {
			err = errors.Join(err, s.tab.close())
			s.tab = nil
		}
	}
	switch {
	case err == nil:
		value, err := s.tab.get(keyCounter)
		return used && value == nil, err
	case errors.Is(err, errDamagedTable):
		s.log.Error("register table is damaged: set aside, to be rebuilt", "err", err)
		if err := s.disk.setTableAside(); err != nil {
			return false, err
		}
		used = true
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	default:
		if used {
			s.log.Error("register table is lost: to be rebuilt")
		}
		if err := s.disk.setTableAside(); err != nil { // a journal without its table
			return false, err
		}
	}
	if err := s.openJournal(true); err != nil {
		return false, err
	}
	return used, s.disk.syncDir(".")
}

// openJournal opens the table and its journal.
func (s *Store) openJournal(create bool) error {
	inner, err := s.disk.openTable(create)
	if err != nil {
		return err
	}
	if s.tab, err = openJournal(s.disk, inner); err != nil {
		return errors.Join(err, inner.close())
	}
	return nil
}

// checkTable reads the whole table.
func (s *Store) checkTable() error {
	var start []byte
	for {
		pairs, err := s.tab.page(start, registersPage)
		if err != nil || len(pairs) == 0 {
			return err
		}
		for _, p := range pairs {
			start = p.key
			if p.key[0] == prefixStore {
				continue
			}
			if _, ok := checkedBody(p.key, p.value); !ok {
				return fmt.Errorf("%w: checksum of %x", errDamagedTable, p.key)
			}
		}
	}
}

func (s *Store) makeDirs() error {
	dirs := []string{filesDir, listsDir, quarantineDir}
	for _, p := range s.positions {
		dirs = append(dirs, positionDir(p))
	}
	for _, dir := range dirs {
		if err := s.disk.mkdir(dir); err != nil {
			return err
		}
	}
	return errors.Join(s.disk.syncDir(filesDir), s.disk.syncDir("."))
}

// probe finds out what the file system can do.
func (s *Store) probe() (err error) {
	at := tempPath(filesDir) + "-\u00e9"
	f, err := s.disk.create(at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), s.disk.remove(at)) }()
	err = f.setAttr([]byte("probe"))
	if s.hasAttrs = err == nil; !s.hasAttrs {
		s.log.Warn("no extended attributes here: a lost register table could not be rebuilt", "err", err)
	}
	for _, other := range []string{
		path.Join(filesDir, strings.ToLower(path.Base(at))),
		strings.Replace(at, "\u00e9", "e\u0301", 1),
	} {
		if _, err := s.disk.stat(other); err == nil {
			s.folds = true
		}
	}
	return nil
}

// positionDirs returns the directories of content there are, those of former
// positions too.
func (s *Store) positionDirs() ([]string, error) {
	entries, err := s.disk.list(filesDir)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if raw, err := hex.DecodeString(e.Name()); err == nil && len(raw) == 20 && e.IsDir() {
			dirs = append(dirs, path.Join(filesDir, e.Name()))
		}
	}
	return dirs, nil
}

// rebuild makes registers from the attributes of the visible files, and returns the
// greatest counter of a ballot that one of them was accepted under.
func (s *Store) rebuild() (newest uint64, err error) {
	dirs, err := s.positionDirs()
	if err != nil {
		return 0, err
	}
	found := 0
	for _, dir := range dirs {
		entries, err := s.disk.list(dir)
		if err != nil {
			return 0, err
		}
		var writes []write
		for _, file := range entries {
			e, err := s.entryOf(dir, file)
			if err != nil {
				s.log.Warn("cannot rebuild a register", "path", s.disk.path(path.Join(dir, file.Name())), "err", err)
				continue
			}
			key := registerKey(e.Record.Name)
			value, err := e.encode(key)
			if err != nil {
				return 0, err
			}
			newest = max(newest, e.Accepted.Counter)
			writes = append(writes, write{key, value})
		}
		if err := s.tab.apply(writes); err != nil {
			return 0, err
		}
		found += len(writes)
	}
	s.log.Warn("register table rebuilt from the files", "registers", found)
	return newest, nil
}

// entryOf reads the entry that a visible file carries.
func (s *Store) entryOf(dir string, info fs.DirEntry) (*entry, error) {
	f, err := s.disk.open(path.Join(dir, info.Name()))
	if err != nil {
		return nil, err
	}
	value, err := f.attr()
	size, sizeErr := f.size()
	if err := errors.Join(err, sizeErr, f.Close()); err != nil {
		return nil, err
	}
	e, err := decodeEntry(nil, value)
	if err != nil {
		return nil, err
	}
	if r := e.Record; r == nil || r.Deleted || ValidateName(r.Name) != nil || Escape(r.Name) != info.Name() || r.Size != size {
		return nil, errors.New("the attribute does not belong to this file")
	}
	e.Promised, e.Held, e.File = e.Accepted, true, tempPath(dir)
	return e, nil
}
