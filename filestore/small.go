package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"time"

	"golang.org/x/sync/errgroup"
)

// Small content. A file of its own costs three syncs to be durable: the file,
// its directory, and the directory again after the rename. For small content
// they cost more than everything else, so it takes another way:
//
//   - It is staged in memory, and written into the journal by the very commit that
//     accepts it, which many names share.
//   - Its file is then written and renamed without a sync, together with those of
//     others, see install: whatever becomes of that, the journal has the content. Where
//     there can be no file yet (no descriptor, no inode) the content is read from there,
//     and Flush tries again.
//   - Flush later makes many such files durable at once, and only then lets their
//     content go from the journal.
//   - Open writes those files again that are not as the journal has them, and leaves
//     it to Flush, too, to make them durable.
//
// So at any instant each held content is in the journal, or in a file that was
// synced after it was whole.

const (
	smallSpace = 16 << 20 // bytes of small content staged in memory, in all
	flushSoon  = 4 << 20  // bytes of the journal's active generation, until a flush is due
	flushNow   = 24 << 20 // until whoever adds more does it
)

// prefixContent begins the journal's keys of small content; the entry's File follows.
const prefixContent = 'b'

func contentKey(file string) []byte { return append([]byte{prefixContent}, file...) }

// stageSmall reports whether content of size bytes, less than zero if that is not
// known, is to be staged in memory, and takes the room for it.
func (s *Store) stageSmall(size int64) bool {
	if size < 0 || size > s.small || s.small == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.smallStaged+size > smallSpace {
		return false
	}
	s.smallStaged += size
	return true
}

// keepSealed seals a small stage, whose content stays in memory.
func (st *Stage) keepSealed(rec *Record) {
	s := st.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.useList(rec, 1)
	st.record = rec
	s.sealed[st.name] = append(s.sealed[st.name], st)
}

// leaveMemory gives back the room of a small stage, once.
func (st *Stage) leaveMemory() {
	s := st.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.smallStaged -= int64(cap(st.small))
	st.small = nil
}

// spill goes on in a file, as there is more content than was announced.
func (st *Stage) spill() error {
	f, err := st.store.create(st.path)
	if err != nil {
		return err
	}
	begun := st.small
	st.leaveMemory()
	st.f, st.inTable = f, false
	return st.put(begun)
}

// contentWrite puts the content of a small stage into the journal.
func (st *Stage) contentWrite() write {
	key := contentKey(st.path)
	value := append(make([]byte, 0, len(st.small)+4), st.small...)
	return write{key, binary.BigEndian.AppendUint32(value, checksum(key, st.small))}
}

// unflushed is small content that is durable in the journal only. Its file may not be
// there at all; what is at the visible path may then be another version's.
type unflushed struct {
	name, visible string
	placed        bool // it has its file
}

// note remembers that the file of e, at visible, is not durable, or not there. A flush
// that has begun before lets go no content that is noted again meanwhile.
func (s *Store) note(e *entry, visible string, placed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unflushed[e.File] = &unflushed{e.Record.Name, visible, placed}
}

// FlushDue tells when it is time to Flush.
func (s *Store) FlushDue() <-chan struct{} { return s.flushDue }

func (s *Store) isUnflushed(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.unflushed[e.File]
	return ok
}

// isUnplaced reports whether e's content is in the journal and has no file.
func (s *Store) isUnplaced(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.unflushed[e.File]
	return ok && !u.placed
}

// anyUnplaced reports whether the file of any content could not be made yet.
func (s *Store) anyUnplaced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.unflushed {
		if !u.placed {
			return true
		}
	}
	return false
}

// journaled returns the content of e that only the journal has durably, or nil.
func (s *Store) journaled(e *entry) []byte {
	if !s.isUnflushed(e) {
		return nil
	}
	key := contentKey(e.File)
	value, err := s.tab.get(key)
	if err != nil || value == nil {
		return nil
	}
	content, ok := checkedBody(key, value)
	if !ok || int64(len(content)) != e.Record.Size {
		return nil
	}
	return content
}

// place makes the file of e, at visible, of what the journal has. The gate is held.
func (s *Store) place(visible string, e *entry, content []byte) error {
	if err := s.disk.remove(e.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // half written when it was tried before
	}
	if err := s.install(visible, e, content); err != nil {
		return err
	}
	s.note(e, visible, true)
	return nil
}

// placeAgain makes the files that could not be made when their content was accepted.
func (s *Store) placeAgain() {
	s.mu.Lock()
	left := maps.Clone(s.unflushed)
	s.mu.Unlock()
	maps.DeleteFunc(left, func(_ string, u *unflushed) bool { return u.placed })
	failed, last := 0, error(nil)
	for file, u := range left {
		if err := s.placeOne(file, u); err != nil {
			failed, last = failed+1, err
		}
	}
	if failed > 0 {
		s.log.Warn("cannot make the files of small contents yet: they are in the journal", "files", failed, "err", last)
	}
}

func (s *Store) placeOne(file string, u *unflushed) error {
	leave := s.enter(u.visible)
	defer leave()
	e, err := s.load(u.name)
	if err != nil || e.File != file || !s.isUnplaced(e) {
		return err
	}
	if content := s.journaled(e); content != nil {
		return s.place(u.visible, e, content)
	}
	return fmt.Errorf("%w: the journal's content", ErrCorrupt)
}

// forgetContent takes the content of an entry that is given up out of the journal,
// in the commit that gives it up. Forgotten is to be called after that.
func (s *Store) forgetContent(old *entry) []write {
	if !s.isUnflushed(old) {
		return nil
	}
	return []write{{key: contentKey(old.File)}}
}

// forgotten ends what note began.
func (s *Store) forgotten(old *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unflushed, old.File)
}

// Flush makes the files of small content durable, which before are so only in the
// journal, and brings what else is in the journal into the table. Without small
// content it waits until there is enough of it. Call it now and then; nothing is lost
// without.
func (s *Store) Flush() error {
	if err := s.beginWrite(); err != nil {
		return err
	}
	defer s.end()
	s.placeAgain()
	s.mu.Lock()
	placed := false
	for _, u := range s.unflushed {
		placed = placed || u.placed
	}
	s.mu.Unlock()
	if size, _ := s.tab.size(); !placed && size < flushSoon {
		return nil
	}
	return s.flushes.do(struct{}{})
}

// flush ends the active generation of the journal, makes the files durable of the
// content in it, and has the table apply the rest.
func (s *Store) flush() error {
	if err := s.Degraded(); err != nil {
		return err
	}
	if err := s.answered("begin a journal", 0, func() error { return s.orSpend(s.tab.freeze) }); err != nil {
		return s.fail(err)
	}
	var files []string
	s.mu.Lock()
	begun := maps.Clone(s.unflushed)
	maps.DeleteFunc(begun, func(_ string, u *unflushed) bool { return !u.placed })
	for _, u := range begun {
		files = append(files, u.visible)
	}
	s.mu.Unlock()
	if len(files) > 0 {
		if err := s.answered("flush", time.Duration(len(files))*hangEach, func() error { return s.disk.flush(files) }); err != nil {
			return s.fail(err)
		}
	}
	s.mu.Lock()
	durable := map[string]bool{}
	for file, u := range begun {
		if s.unflushed[file] == u || s.unflushed[file] == nil { // else it was noted again
			durable[string(contentKey(file))] = true
			delete(s.unflushed, file)
		}
	}
	s.tab.forget(func(key []byte) bool { return !durable[string(key)] })
	s.mu.Unlock()
	return s.answered("checkpoint", hangLimit, s.checkpoint)
}

// checkpoint has the table apply what of the journal is frozen. The store is degraded
// when that fails for another reason than a full disk.
func (s *Store) checkpoint() error {
	err := s.orSpend(s.tab.checkpoint)
	if err == nil || errors.Is(err, ErrNoSpace) {
		return err
	}
	return s.fail(fmt.Errorf("checkpoint: %w: %w", errSync, err))
}

// flushEach makes files and their directories durable, each by itself. Those that are
// gone are somebody else's business.
func flushEach(d Disk, files []string) error {
	dirs := map[string]bool{}
	var g errgroup.Group
	g.SetLimit(restoreAtOnce)
	for _, at := range files {
		dirs[path.Dir(at)] = true
		g.Go(func() error {
			f, err := d.open(at)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				err = errors.Join(f.sync(), f.Close())
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for dir := range dirs {
		if err := d.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// restore makes the file whole of an entry whose content the journal has: as it
// is, or else anew, which is reported. It is durable in the journal until a Flush.
// Several entries may be restored at once.
func (t *tidying) restore(visible string, e *entry) (bool, error) {
	s := t.store
	key := contentKey(e.File)
	value, err := s.tab.get(key)
	if err != nil || value == nil {
		return false, err
	}
	content, ok := checkedBody(key, value)
	if !ok { // carried on after it was damaged; whoever reads the file checks it
		s.log.Error("content in the journal is damaged", "path", s.disk.path(visible))
		return false, nil
	}
	t.mu.Lock()
	t.restored = append(t.restored, tidied{visible: visible, entry: e})
	t.mu.Unlock()
	if t.isWhole(t.find(visible, e.File), content) {
		return false, nil
	}
	if err := orGiveBack(s.disk, func() error { return t.rewrite(visible, e, content) }); err != nil {
		return false, err
	}
	t.gone(visible)
	if t.regular(e.File) { // half written: nobody may take it for the content once the journal has it no more
		return true, t.remove(e.File)
	}
	return true, nil
}

// isWhole reports whether the file at a path is ours and has this content. So a disk
// that is full does not keep a node from starting again.
func (t *tidying) isWhole(at string, content []byte) bool {
	if at == "" || !t.ours(at) {
		return false
	}
	f, err := t.store.disk.open(at)
	if err != nil {
		return false
	}
	found := make([]byte, len(content)+1)
	n, _ := f.ReadAt(found, 0)
	return f.Close() == nil && bytes.Equal(found[:n], content)
}

// rewrite makes a file of content at visible, whatever is there.
func (t *tidying) rewrite(visible string, e *entry, content []byte) error {
	s := t.store
	temp := tempPath(path.Dir(visible))
	f, err := s.disk.create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		s.dress(f, temp, e)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.disk.rename(temp, visible)
	}
	if err != nil {
		return errors.Join(err, s.disk.remove(temp))
	}
	return nil
}

// contents leaves the content in the journal that was restored, until a Flush makes its
// files durable, and forgets the rest, which nobody needs. A former version kept content
// in the table: it leaves that at once.
func (t *tidying) contents() error {
	s := t.store
	files := make([]string, 0, len(t.restored))
	for _, r := range t.restored {
		s.note(r.entry, r.visible, true)
		files = append(files, r.visible)
	}
	s.tab.forget(func(key []byte) bool {
		_, needed := s.unflushed[string(key[1:])]
		return needed
	})
	for start := []byte{prefixContent}; ; {
		pairs, err := s.tab.page(start, registersPage)
		if err != nil {
			return err
		}
		var writes []write
		for _, p := range pairs {
			if p.key[0] == prefixContent {
				writes = append(writes, write{key: p.key})
			}
		}
		if len(writes) == 0 {
			return nil
		}
		if err := errors.Join(s.disk.flush(files), t.sync()); err != nil {
			return err
		}
		files = nil
		if err := s.tab.apply(writes); err != nil {
			return err
		}
		start = writes[len(writes)-1].key
	}
}

// memoryFile is a small content that has no file yet.
type memoryFile struct{ *bytes.Reader }

func (m memoryFile) size() (int64, error)    { return m.Size(), nil }
func (memoryFile) Write([]byte) (int, error) { return 0, errSealed }
func (memoryFile) Close() error              { return nil }
func (memoryFile) sync() error               { return nil }
func (memoryFile) uncache()                  {}
func (memoryFile) setAttr([]byte) error      { return errors.ErrUnsupported }
func (memoryFile) attr() ([]byte, error)     { return nil, errors.ErrUnsupported }
