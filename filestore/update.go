package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Register returns what this node holds for name: a zero Register when
// nothing. ErrBadName, or ErrDegraded when a failed commit leaves it unknown.
func (s *Store) Register(name string) (Register, error) {
	if err := s.begin(); err != nil {
		return Register{}, fmt.Errorf("register: %w", err)
	}
	defer s.end()
	if err := ValidateName(name); err != nil {
		return Register{}, fmt.Errorf("register: %w", err)
	}
	e, err := s.load(name)
	if err != nil {
		return Register{}, fmt.Errorf("register: %w", err)
	}
	return e.register(), nil
}

// Update replaces name's register by what f makes of it, and returns the new
// one when it is durable. f is called once, while other Updates of the name
// wait; it may change what it is given and must not use the Store. An error of
// f is returned as it is with the unchanged register. f's Held is ignored.
//
// If f changes Accepted or Record and the new record is live, its content has
// to be held, sealed or visible, else nothing changes and the error is
// ErrNoContent. Content that was sealed for the record the register has then,
// newly accepted or not, gets its visible name, in place of what was there;
// under a tombstone the visible file is removed. Contents open for reading are
// not disturbed.
//
// After any error but f's own, ErrNoContent, ErrBadName and ErrCollision, the change
// may or may not have been made.
func (s *Store) Update(name string, f func(Register) (Register, error)) (Register, error) {
	return s.update(name, f, true)
}

// Learn is Update for a node that is to know a record and not to keep its
// content: ErrNoContent does not occur. Content of another version that was
// held is removed; the record's own, if it is held or sealed, is kept.
func (s *Store) Learn(name string, f func(Register) (Register, error)) (Register, error) {
	return s.update(name, f, false)
}

func (s *Store) update(name string, f func(Register) (Register, error), needContent bool) (Register, error) {
	if err := s.beginWrite(); err != nil {
		return Register{}, fmt.Errorf("update: %w", err)
	}
	defer s.end()
	visible, err := s.visible(name)
	if err != nil {
		return Register{}, fmt.Errorf("update: %w", err)
	}
	leave := s.enter(visible)
	defer leave()
	old, err := s.load(name)
	if err != nil {
		return Register{}, fmt.Errorf("update: %w", err)
	}
	seen := old.register()
	seen.Record = old.Record.Clone()
	next, err := f(seen)
	if err != nil {
		return old.register(), err
	}
	e, st, err := s.admit(name, visible, old, next, needContent)
	if err != nil {
		return old.register(), fmt.Errorf("update: %w", err)
	}
	if err := s.replace(name, visible, old, e, st); err != nil {
		return e.register(), fmt.Errorf("update: %w", err)
	}
	return e.register(), nil
}

// admit makes the entry for next, and finds the stage that its content comes
// from; nil when it is visible already, or not held.
func (s *Store) admit(name, visible string, old *entry, next Register, needContent bool) (*entry, *Stage, error) {
	e := &entry{Promised: next.Promised, Accepted: next.Accepted, Record: next.Record.Clone()}
	if e.Since = old.Since; e.Accepted != old.Accepted {
		e.Since = s.now().Unix()
	}
	r := e.Record
	if r != nil && r.Name != name {
		return nil, nil, fmt.Errorf("%w: a record of %q in the register of %q", ErrBadName, r.Name, name)
	}
	if r == nil || r.Deleted {
		e.Sweep = old.Held
		return e, nil, nil
	}
	if old.Held && r.SameContent(old.Record) {
		e.Held, e.File = true, old.File
		return e, nil, nil
	}
	if st := s.sealedFor(r); st != nil {
		if err := s.inTheWay(visible, old); err != nil {
			return nil, nil, err
		}
		e.Held, e.File = true, st.path
		return e, st, nil
	}
	if e.Accepted == old.Accepted && r.SameContent(old.Record) {
		return e, nil, nil // dropped or damaged before, and only promised or the like now
	}
	if !needContent {
		e.Sweep = old.Held
		return e, nil, nil
	}
	return nil, nil, fmt.Errorf("%w: %q", ErrNoContent, name)
}

// replace commits e and makes the files agree with it. The name's gate is held.
func (s *Store) replace(name, visible string, old, e *entry, st *Stage) error {
	key := registerKey(name)
	value, err := e.encode(key)
	if err != nil {
		return err
	}
	s.decoded.remember(key, value, e)
	writes := []write{{key, value}}
	if old.Held && old.File != e.File {
		if e.Sweep && s.isUnflushed(old) { // the start after a crash must know the file for ours
			if err := flushEach(s.disk, []string{visible}); err != nil {
				return s.fail(err)
			}
		}
		writes = append(writes, s.forgetContent(old)...)
	}
	small := []byte(nil)
	if st != nil && st.inTable {
		small = st.small
		writes = append(writes, st.contentWrite())
	}
	err = s.commit(writes...)
	if st != nil && !errors.Is(err, ErrNoSpace) {
		st.accepted = true // or in doubt: then the next Open finds out
	}
	if err != nil {
		return err
	}
	if old.File != e.File {
		s.forgotten(old)
	}
	s.resum(name, old, e)
	kept := st == nil && e.Held
	if st != nil {
		s.count(e.Record, 1)
		s.unseal(st)
		s.release(st)
		st.leaveMemory()
		s.mu.Lock()
		s.useList(st.record, -1)
		s.mu.Unlock()
	}
	if old.Held && !kept {
		s.dropList(old.Record.Root, s.count(old.Record, -1))
	}
	if kept && e.Accepted == old.Accepted {
		return nil // a promise: the files do not change
	}
	if st != nil && st.inTable {
		return s.settleSmall(visible, e, small)
	}
	return s.settle(visible, e)
}

// settleSmall writes the file of content that the commit has put into the journal.
// The gate is held: who flushes takes none.
func (s *Store) settleSmall(visible string, e *entry, content []byte) error {
	err := s.install(visible, e, content)
	s.note(e, visible, err == nil)
	return err
}

// settle gives accepted content its visible name, or removes content that was
// given up. It does what is still to be done: Open runs it again.
func (s *Store) settle(visible string, e *entry) error {
	switch {
	case e.Held:
		if moved, err := s.rename(visible, e); err != nil || !moved {
			return err
		}
	case e.Sweep:
		err := s.disk.remove(visible)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return s.fail(err)
		}
	default:
		return nil
	}
	return s.syncDir(path.Dir(visible))
}

// rename gives accepted content the dress of its record and its visible name.
func (s *Store) rename(visible string, e *entry) (moved bool, err error) {
	if s.isUnplaced(e) { // what is there is not e's
		content := s.journaled(e)
		if content == nil {
			s.giveUp(e)
			return false, fmt.Errorf("%w: %s is not in the journal", ErrNoContent, s.disk.path(visible))
		}
		return false, s.place(visible, e, content)
	}
	at := e.File
	f, err := s.disk.open(at)
	if errors.Is(err, fs.ErrNotExist) {
		at = visible
		f, err = s.disk.open(at)
	}
	if errors.Is(err, fs.ErrNotExist) {
		s.giveUp(e)
		return false, fmt.Errorf("%w: %s is gone", ErrNoContent, s.disk.path(visible))
	}
	if err != nil {
		return false, err
	}
	s.dress(f, at, e)
	if err := f.Close(); err != nil {
		return false, err
	}
	if at == visible {
		return false, nil
	}
	return true, s.fail(s.disk.rename(at, visible))
}

// Drop gives up the content of the record that was accepted at ballot, and
// keeps the register. ErrNotFound if it is not held, or if the register has
// accepted another ballot since.
func (s *Store) Drop(name string, ballot Ballot) error {
	if err := s.beginWrite(); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	defer s.end()
	visible, err := s.visible(name)
	if err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	leave := s.enter(visible)
	defer leave()
	old, err := s.load(name)
	if err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	if !old.Held || old.Accepted != ballot {
		return fmt.Errorf("drop: %w: %q", ErrNotFound, name)
	}
	e := *old
	e.Held, e.File, e.Sweep = false, "", true
	if err := s.replace(name, visible, old, &e, nil); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	return nil
}

// Discard gives up the content of the record that was accepted at ballot, if it
// is held, and then removes name's register, whatever is promised: the caller
// knows that neither counts. It does nothing if another was accepted since.
func (s *Store) Discard(name string, ballot Ballot) error {
	err := s.Drop(name, ballot)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	_, err = s.forget(name, func(e *entry) bool { return e.Record != nil && !e.Held && e.Accepted == ballot })
	return err
}

// Forget removes name's register, a tombstone or one whose content is not held,
// as if it had never been. It does so only if that was accepted at ballot and
// nothing is promised beyond, and reports whether it did.
func (s *Store) Forget(name string, ballot Ballot) (bool, error) {
	return s.forget(name, func(e *entry) bool {
		return e.Record != nil && !e.Held && e.Accepted == ballot && e.Promised.Compare(ballot) <= 0
	})
}

// forget removes name's register if it may go.
func (s *Store) forget(name string, may func(*entry) bool) (bool, error) {
	if err := s.beginWrite(); err != nil {
		return false, fmt.Errorf("forget: %w", err)
	}
	defer s.end()
	visible, err := s.visible(name)
	if err != nil {
		return false, fmt.Errorf("forget: %w", err)
	}
	leave := s.enter(visible)
	defer leave()
	e, err := s.load(name)
	if err != nil {
		return false, fmt.Errorf("forget: %w", err)
	}
	if !may(e) {
		return false, nil
	}
	if err := s.commit(write{key: registerKey(name)}); err != nil {
		return false, fmt.Errorf("forget: %w", err)
	}
	s.resum(name, e, &entry{})
	return true, nil
}
