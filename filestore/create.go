package filestore

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Creation is small content for a name that is not known here yet, to be accepted
// together with its record.
type Creation struct {
	Name    string
	Content []byte // not changed, and not kept; its SHA-256 has been checked by the caller
	// Decide is Update's f: it makes of the register one with a live record of Content
	// where there was none, or fails.
	Decide func(Register) (Register, error)
}

var (
	errNotNew   = errors.New("not a new name's live record")
	errNoMemory = errors.New("too much small content is on its way")
)

// Create is Update for many small contents at once, each under a name of its own: one
// commit and one look at each directory are for all of them. It returns each one's
// error, in the order of the list: those of Stage, Seal and Update but ErrNoContent, and
// another one where there is no room for the content in memory, as there is none for
// more than Options.Small bytes.
func (s *Store) Create(list []Creation) []error {
	errs := make([]error, len(list))
	if err := s.beginWrite(); err != nil {
		for i := range errs {
			errs[i] = fmt.Errorf("create: %w", err)
		}
		return errs
	}
	defer s.end()
	all := make([]*creating, len(list))
	pass := make([]*creating, 0, len(list))
	for i := range list {
		c := &creating{Creation: &list[i]}
		all[i] = c
		if c.visible, c.err = s.visible(c.Name); c.err == nil {
			pass = append(pass, c)
		}
	}
	for len(pass) > 0 {
		pass = s.createApart(pass)
	}
	for i, c := range all {
		if c.err != nil {
			errs[i] = fmt.Errorf("create: %w", c.err)
		}
	}
	return errs
}

// creating is a Creation under way: its gate is held.
type creating struct {
	*Creation
	visible  string
	old, new *entry
	stage    *Stage
	err      error // what came of it
}

// createApart deals with those of some creations that have a gate each, and returns
// the others. Gates are taken in one order, so that two lists cannot wait for each
// other.
func (s *Store) createApart(all []*creating) (rest []*creating) {
	slices.SortStableFunc(all, func(a, b *creating) int { return strings.Compare(a.visible, b.visible) })
	var now []*creating
	var writes []write
	for _, c := range all {
		if n := len(now); n > 0 && (s.folds || c.visible == now[n-1].visible) {
			rest = append(rest, c)
			continue
		}
		leave := s.enter(c.visible)
		defer leave()
		now = append(now, c)
	}
	var ready []*creating
	for _, c := range now {
		w, err := s.decide(c)
		if c.err = err; err == nil {
			ready = append(ready, c)
			writes = append(writes, w...)
		}
	}
	if len(ready) == 0 {
		return rest
	}
	if err := s.commit(writes...); err != nil {
		for _, c := range ready {
			if c.err = err; errors.Is(err, ErrNoSpace) { // otherwise it is in doubt: the next Open finds out
				c.stage.drop()
			}
		}
		return rest
	}
	s.created(ready)
	return rest
}

// decide makes the entry of one creation and stages its content in memory.
func (s *Store) decide(c *creating) ([]write, error) {
	var err error
	if c.old, err = s.load(c.Name); err != nil {
		return nil, err
	}
	seen := c.old.register()
	seen.Record = c.old.Record.Clone()
	next, err := c.Decide(seen)
	if err != nil {
		return nil, err
	}
	r := next.Record.Clone()
	if c.old.Record != nil || r == nil || r.Deleted || r.Name != c.Name {
		return nil, errNotNew
	}
	if int64(len(c.Content)) > s.small {
		return nil, errNoMemory
	}
	if !isContent(c.Content, r) {
		return nil, fmt.Errorf("%w: have %d bytes, want %d, root %s", ErrCorrupt, len(c.Content), r.Size, r.Root)
	}
	if err := s.inTheWay(c.visible, c.old); err != nil {
		return nil, err
	}
	if c.stage, err = s.stageWhole(c.Name, path.Dir(c.visible), c.Content); err != nil {
		return nil, err
	}
	c.new = &entry{
		Promised: next.Promised, Accepted: next.Accepted, Record: r, Since: s.now().Unix(), Held: true, File: c.stage.path,
	}
	key := registerKey(c.Name)
	value, err := c.new.encode(key)
	if err != nil {
		c.stage.drop()
		return nil, err
	}
	s.decoded.remember(key, value, c.new)
	return []write{{key, value}, c.stage.contentWrite()}, nil
}

// isContent reports whether a content of one chunk at most, of which the caller has
// checked the SHA-256, is r's.
func isContent(content []byte, r *Record) bool {
	d := NewDigest()
	return (len(content) == 0 || d.WriteChunk(content, r.SHA256) == nil) && d.Matches(r)
}

// stageWhole stages content in memory that is all there.
func (s *Store) stageWhole(name, dir string, content []byte) (*Stage, error) {
	size := int64(len(content))
	st := &Stage{store: s, name: name, path: tempPath(dir)}
	if err := s.reserve(st, size); err != nil {
		return nil, err
	}
	if st.inTable = s.stageSmall(size); !st.inTable {
		s.release(st)
		return nil, errNoMemory
	}
	st.small = content[:size:size]
	return st, nil
}

// created makes the files of contents that the commit has put into the journal, and
// counts them.
func (s *Store) created(list []*creating) {
	files := make([]*placing, len(list))
	for i, c := range list {
		files[i] = s.placingOf(c.visible, c.new, c.Content)
		s.resum(c.Name, c.old, c.new)
		s.count(c.new.Record, 1)
		s.release(c.stage)
		c.stage.leaveMemory()
	}
	err := s.installs.do(files)
	for i, c := range list {
		if c.err = err; err == nil {
			c.err = s.placed(c.new, files[i])
		}
		s.note(c.new, c.visible, c.err == nil)
	}
}
