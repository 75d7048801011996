package filestore

import "errors"

// Space that is set aside for the table. When the disk is full to the last
// byte, deletes, promises and hand-offs have to be written down all the same:
// then the reserve is given up, and nothing is staged until it is back.

// reserveSize is how much is set aside, in bytes: some hundred commits.
const reserveSize = 4 << 20

// reserveGate lets one at a time set space aside. It is no path of content.
const reserveGate = "reserve"

// setAside sets space aside unless there is some already.
func (s *Store) setAside() error {
	isSpent := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.spent
	}
	if !isSpent() {
		return nil
	}
	leave := s.gates.enter(reserveGate)
	defer leave()
	if !isSpent() {
		return nil
	}
	if err := s.disk.setAside(); err != nil {
		return err
	}
	s.mu.Lock()
	s.spent = false
	s.mu.Unlock()
	return nil
}

// spend gives the reserve up for the writes of a commit that found no room;
// false: there is none left.
func (s *Store) spend() bool {
	s.mu.Lock()
	spent := s.spent
	s.spent = true
	s.mu.Unlock()
	if spent || s.disk.giveBack() != nil {
		return false
	}
	s.log.Warn("the disk is full: what was set aside for registers is used, and no more content is taken until there is room")
	return true
}

// apply commits writes to the table. A commit that found no room has changed nothing,
// so it may be tried again.
func (s *Store) apply(writes []write) error {
	return s.orSpend(func() error { return s.tab.apply(writes) })
}

// orGiveBack does at a start what needs room for the table, with the reserve of the
// disk if it takes that.
func orGiveBack(d Disk, f func() error) error {
	err := f()
	if errors.Is(err, ErrNoSpace) && d.giveBack() == nil {
		err = f()
	}
	return err
}

// orSpend does what needs room for the table, with the reserve if it takes that.
func (s *Store) orSpend(f func() error) error {
	err := f()
	if errors.Is(err, ErrNoSpace) && s.spend() {
		err = f()
	}
	return err
}
