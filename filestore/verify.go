package filestore

import (
	"errors"
	"fmt"
)

// Verify reads the content that name's register holds from the disk, not from
// what the system remembers of it where that can be told apart, and checks
// every byte. pace, unless nil, is called before each chunk with its length;
// its error ends the reading. A damaged hash list or extended attribute is
// written anew. Verify returns the bytes read.
//
// ErrNotFound: the register holds no content, or no longer that one.
// ErrCorrupt: the content was damaged or gone, and is not held any more.
func (s *Store) Verify(name string, pace func(bytes int) error) (read int64, err error) {
	r, err := s.Register(name)
	if err != nil {
		return 0, fmt.Errorf("verify: %w", err)
	}
	if !r.Held {
		return 0, fmt.Errorf("verify: %w: content of %q", ErrNotFound, name)
	}
	c, err := s.Open(name, r.Record.SHA256)
	if errors.Is(err, errGone) {
		err = fmt.Errorf("%w: %q: %w", ErrCorrupt, name, errGone)
	}
	if err != nil {
		return 0, err
	}
	read, err = c.verify(pace)
	return read, errors.Join(err, c.Close())
}

func (c *Content) verify(pace func(int) error) (read int64, err error) {
	c.f.uncache()
	defer c.f.uncache() // what was read for its own sake is not worth remembering
	count := ChunkCount(c.size)
	buf := make([]byte, min(ChunkSize, c.size))
	for i := range count {
		if pace != nil {
			if err := pace(int(min(ChunkSize, c.size-read))); err != nil {
				return read, err
			}
		}
		n, err := c.ReadChunk(i, buf)
		if err != nil {
			return read, err
		}
		read += int64(n)
	}
	return read, c.store.mendAttr(c)
}

// mendAttr gives the file of c its extended attribute again where that is not
// what the register says: it is what a lost table would be rebuilt from.
func (s *Store) mendAttr(c *Content) error {
	if !s.hasAttrs || s.beginWrite() != nil {
		return nil
	}
	defer s.end()
	visible, err := s.visible(c.name)
	if err != nil {
		return err
	}
	leave := s.enter(visible)
	defer leave()
	e, err := s.load(c.name)
	if err != nil {
		return err
	}
	if !e.Held || e.File != c.staged || s.isUnplaced(e) || carries(c.f, e) {
		return nil
	}
	f, err := s.disk.open(visible)
	if err != nil {
		return err
	}
	s.log.Warn("the extended attribute of a file was wrong: written anew", "name", c.name)
	s.dress(f, visible, e)
	return errors.Join(s.fail(f.sync()), f.Close())
}

// carries reports whether a file's attribute stands for the record of e.
func carries(f file, e *entry) bool {
	value, err := f.attr()
	if err != nil {
		return false
	}
	had, err := decodeEntry(nil, value)
	return err == nil && had.Record != nil && had.Accepted == e.Accepted &&
		had.Record.Name == e.Record.Name && had.Record.Op == e.Record.Op && had.Record.SameContent(e.Record)
}

// VerifyTable reads the whole table of registers. ErrDegraded: it is damaged.
func (s *Store) VerifyTable() error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer s.end()
	if err := s.checkTable(); err != nil {
		return fmt.Errorf("verify: %w", s.fail(err))
	}
	return nil
}
