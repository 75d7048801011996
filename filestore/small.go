package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"path"
	"time"
)

// Small content. A file of its own costs three syncs to be durable: the file,
// its directory, and the directory again after the rename. For small content
// they cost more than everything else, so it takes another way:
//
//   - It is staged in memory, and written into the table by the very commit that
//     accepts it, which many names share.
//   - Its file is then written and renamed without a sync, together with those of
//     others, see install: whatever becomes of that, the table has the content.
//   - Flush later makes many such files durable at once, and only then takes
//     their content out of the table.
//   - Open writes the files of content that it finds in the table again.
//
// So at any instant each held content is in the table, or in a file that was
// synced after it was whole.

const (
	smallSpace = 16 << 20 // bytes of small content staged in memory, in all
	flushSoon  = 4 << 20  // bytes of small content in the table, until a flush is due
	flushNow   = 24 << 20 // until whoever adds more does it
)

// prefixContent begins the table keys of small content; the entry's File follows.
const prefixContent = 'b'

func contentKey(file string) []byte { return append([]byte{prefixContent}, file...) }

// unflushed is a file whose content is in the table, too.
type unflushed struct {
	visible string
	size    int64
}

// stageSmall reports whether content of size bytes, less than zero if that is not
// known, is to be staged in memory, and takes the room for it.
func (s *Store) stageSmall(size int64) bool {
	if size < 0 || size > s.small {
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

// contentWrite puts the content of a small stage into the table.
func (st *Stage) contentWrite() write {
	key := contentKey(st.path)
	value := append(make([]byte, 0, len(st.small)+4), st.small...)
	return write{key, binary.BigEndian.AppendUint32(value, checksum(key, st.small))}
}

// note remembers that the file of e, at visible, is not durable, and reports
// whether there are too many such.
func (s *Store) note(e *entry, visible string) (full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unflushed[e.File] = unflushed{visible, e.Record.Size}
	s.unflushedBytes += e.Record.Size
	if s.unflushedBytes >= flushSoon {
		select {
		case s.flushDue <- struct{}{}:
		default:
		}
	}
	return s.unflushedBytes >= flushNow
}

// FlushDue tells when it is time to Flush.
func (s *Store) FlushDue() <-chan struct{} { return s.flushDue }

func (s *Store) isUnflushed(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.unflushed[e.File]
	return ok
}

// forgetContent takes the content of an entry that is given up out of the table,
// in the commit that gives it up.
func (s *Store) forgetContent(old *entry) []write {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.unflushed[old.File]
	if !ok {
		return nil
	}
	delete(s.unflushed, old.File)
	s.unflushedBytes -= u.size
	return []write{{key: contentKey(old.File)}}
}

// Flush makes the files of small content durable, which before are so only in the
// table of registers. Call it now and then; nothing is lost without.
func (s *Store) Flush() error {
	if err := s.beginWrite(); err != nil {
		return err
	}
	defer s.end()
	return s.flushes.do(struct{}{})
}

func (s *Store) flush() error {
	s.mu.Lock()
	var files []string
	var writes []write
	for file, u := range s.unflushed {
		files = append(files, u.visible)
		writes = append(writes, write{key: contentKey(file)})
	}
	s.mu.Unlock()
	if len(files) == 0 {
		return nil
	}
	if err := s.Degraded(); err != nil {
		return err
	}
	if err := s.answered("flush", time.Duration(len(files))*hangEach, func() error { return s.disk.flush(files) }); err != nil {
		return s.fail(err)
	}
	if err := s.commit(writes...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range writes {
		file := string(w.key[1:])
		s.unflushedBytes -= s.unflushed[file].size
		delete(s.unflushed, file)
	}
	return nil
}

// flushEach makes files and their directories durable one by one. Those that are
// gone are somebody else's business.
func flushEach(d Disk, files []string) error {
	dirs := map[string]bool{}
	for _, at := range files {
		f, err := d.open(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(f.sync(), f.Close())
		}
		if err != nil {
			return err
		}
		dirs[path.Dir(at)] = true
	}
	for dir := range dirs {
		if err := d.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// restore makes the file of an entry durable whose content the table has: as it
// is, if it is whole, else anew, which is reported.
func (t *tidying) restore(visible string, e *entry) (bool, error) {
	s := t.store
	key := contentKey(e.File)
	value, err := s.tab.get(key)
	if err != nil || value == nil {
		return false, err
	}
	content, ok := checkedBody(key, value)
	if !ok {
		return false, errDamagedTable
	}
	if whole, err := t.keep(t.find(visible, e.File), content); err != nil || whole {
		return false, err
	}
	err = t.rewrite(visible, e, content)
	if errors.Is(err, ErrNoSpace) && s.disk.giveBack() == nil {
		err = t.rewrite(visible, e, content)
	}
	if err != nil {
		return false, err
	}
	delete(t.present, visible)
	t.dirty[path.Dir(visible)] = true
	if t.regular(e.File) { // half written: nobody may take it for the content once the table has it no more
		return true, t.remove(e.File)
	}
	return true, nil
}

// keep makes the file at a path durable if it is ours and has this content; false:
// it is not. So a disk that is full does not keep a node from starting again.
func (t *tidying) keep(at string, content []byte) (bool, error) {
	if at == "" || !t.ours(at) {
		return false, nil
	}
	f, err := t.store.disk.open(at)
	if err != nil {
		return false, nil
	}
	found := make([]byte, len(content)+1)
	n, _ := f.ReadAt(found, 0)
	whole := bytes.Equal(found[:n], content)
	if whole {
		err = f.sync()
		t.dirty[path.Dir(at)] = true
	}
	return whole, errors.Join(err, f.Close())
}

// rewrite makes a durable file of content at visible, whatever is there.
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
		err = f.sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.disk.rename(temp, visible)
	}
	if err != nil {
		return errors.Join(err, s.disk.remove(temp))
	}
	return nil
}

// contents takes all content out of the table: what an entry holds has its file by
// now, and nobody needs the rest.
func (t *tidying) contents() error {
	if err := t.sync(); err != nil {
		return err
	}
	start := []byte{prefixContent}
	for {
		pairs, err := t.store.tab.page(start, registersPage)
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
		if err := t.store.tab.apply(writes); err != nil {
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
