package filestore

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// tempPrefix begins the names of temporary files. A name never escapes to
// one, since a leading dot is escaped.
const tempPrefix = ".dhtfs-"

// tempPath returns a new path in dir that was never used before.
func tempPath(dir string) string { return path.Join(dir, tempPrefix+rand.Text()) }

func isTemp(base string) bool { return strings.HasPrefix(base, tempPrefix) }

// Stage is content on its way into the store. Write it, Seal it, have a
// register accept it with Update, and Discard it in any case. Not safe for
// concurrent use.
type Stage struct {
	store   *Store
	name    string
	path    string
	f       file
	digest  *Digest
	inTable bool // small: f is nil, and the content in small
	small   []byte
	err     error // of a Write or Seal: the stage is of no more use

	record   *Record // once sealed
	accepted bool    // a register names it; guarded by the name's gate

	reserved, written int64 // guarded by Store.mu
}

// Stage begins to store content for name: size bytes, or -1 when that is not
// known yet. It returns ErrBadName, ErrCollision, a *SpaceError, ErrDegraded
// or ErrClosed.
func (s *Store) Stage(name string, size int64) (*Stage, error) {
	if err := s.beginWrite(); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	defer s.end()
	visible, err := s.visible(name)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	if err := s.mayStage(name, visible); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	st := &Stage{store: s, name: name, path: tempPath(path.Dir(visible)), digest: NewDigest()}
	if err := s.reserve(st, max(0, size)); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	if st.inTable = s.stageSmall(size); st.inTable {
		st.small = make([]byte, 0, size)
		return st, nil
	}
	if st.f, err = s.create(st.path); err != nil {
		s.release(st)
		return nil, fmt.Errorf("stage: %w", err)
	}
	return st, nil
}

// create makes a file, and its directory where somebody has removed that.
func (s *Store) create(at string) (file, error) {
	f, err := s.disk.create(at)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.remake(path.Dir(at)); err == nil {
			f, err = s.disk.create(at)
		}
	}
	return f, s.fail(err)
}

// remake makes a directory again that somebody has removed.
func (s *Store) remake(dir string) error {
	if err := s.disk.mkdir(dir); err != nil {
		return err
	}
	return s.syncDir(path.Dir(dir))
}

// mayStage finds out early what Update would refuse. It waits its turn, since
// in the middle of another change file and register do not agree.
func (s *Store) mayStage(name, visible string) error {
	leave := s.enter(visible)
	defer leave()
	old, err := s.load(name)
	if err != nil {
		return err
	}
	return s.inTheWay(visible, old)
}

// inTheWay returns ErrCollision if a file that is not old's is at the visible
// path, though it may only look the same to the file system.
func (s *Store) inTheWay(visible string, old *entry) error {
	if old.Held {
		return nil
	}
	if s.folds && s.anyUnplaced() { // one of those may be the same name to the file system
		return errNoFile
	}
	_, err := s.disk.stat(visible)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: %s", ErrCollision, s.disk.path(visible))
	}
	return err
}

// Write adds p to the content. After an error the stage can only be discarded.
func (st *Stage) Write(p []byte) (int, error) {
	if err := st.put(p); err != nil {
		return 0, err
	}
	return st.digest.Write(p)
}

// WriteChunk adds p, a whole chunk or the last one, of which the caller has
// checked that its SHA-256 is sum. After an error the stage can only be
// discarded.
func (st *Stage) WriteChunk(p []byte, sum Hash) error {
	if err := st.put(p); err != nil {
		return err
	}
	if err := st.digest.WriteChunk(p, sum); err != nil {
		st.err = fmt.Errorf("stage: %w", err)
	}
	return st.err
}

var errNoFile = errors.New("the file of another name could not be made yet")

var errSealed = errors.New("stage is sealed or discarded")

// put writes p to the file.
func (st *Stage) put(p []byte) error {
	if st.err != nil {
		return st.err
	}
	if st.inTable && len(st.small)+len(p) <= cap(st.small) && st.record == nil {
		st.small = append(st.small, p...)
		return nil
	}
	if st.inTable && st.record == nil {
		if err := st.spill(); err != nil {
			st.err = fmt.Errorf("stage: %w", err)
			return st.err
		}
	}
	if st.f == nil {
		return errSealed
	}
	s := st.store
	if st.written+int64(len(p)) > st.reserved {
		if err := s.reserve(st, max(reserveStep, int64(len(p)))); err != nil {
			// The last bytes of a disk are given in small steps too.
			if err = s.reserve(st, st.written+int64(len(p))-st.reserved); err != nil {
				st.err = fmt.Errorf("stage: %w", err)
				return st.err
			}
		}
	}
	n, err := st.f.Write(p)
	s.wrote(st, int64(n))
	if err != nil {
		st.err = fmt.Errorf("stage: %w", s.fail(err))
	}
	return st.err
}

// Chunks returns the SHA-256 of each chunk that is in the file: what need not come
// again if the rest is written later. There are none after an error, for small
// content, and once the stage is sealed or discarded.
func (st *Stage) Chunks() []Hash {
	if st.err != nil || st.f == nil {
		return nil
	}
	return slices.Clone(st.digest.hashes)
}

// Restart begins a stage of the same name with the first n of st's Chunks, and
// discards st in any case. It returns what Stage returns, and ErrCorrupt where the
// disk does not give back what was written.
func (st *Stage) Restart(n int) (*Stage, error) {
	defer st.Discard()
	have := st.Chunks()
	if n > len(have) {
		return nil, fmt.Errorf("restart: no %d chunks", n)
	}
	fresh, err := st.store.Stage(st.name, -1)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, ChunkSize)
	for i := range n {
		if _, err = st.f.ReadAt(buf, int64(i)*ChunkSize); err == nil && Hash(sha256.Sum256(buf)) != have[i] {
			err = fmt.Errorf("%w: chunk %d", ErrCorrupt, i)
		}
		if err == nil {
			err = fresh.WriteChunk(buf, have[i])
		}
		if err != nil {
			fresh.Discard()
			return nil, fmt.Errorf("restart: %w", err)
		}
	}
	return fresh, nil
}

// Seal checks the content against rec, a live record of the stage's name, and
// makes it durable; small content only together with the register that accepts
// it, see Options.Small. When it returns nil Holds is true and Update may accept a
// record that names this content. ErrCorrupt says that it does not match, see
// Digest.Matches. After an error the stage can only be discarded.
func (st *Stage) Seal(rec Record) error {
	if st.err == nil && st.f == nil && (!st.inTable || st.record != nil) {
		return errSealed
	}
	s := st.store
	if err := s.beginWrite(); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	defer s.end()
	if st.err == nil {
		if err := st.seal(rec.Clone()); err != nil {
			st.err = fmt.Errorf("seal: %w", err)
		}
	}
	if st.err != nil {
		st.drop()
	}
	return st.err
}

func (st *Stage) seal(rec *Record) error {
	s, d := st.store, st.digest
	if rec.Name != st.name || rec.Deleted {
		return fmt.Errorf("%w: not a live record of %q", ErrBadName, st.name)
	}
	if !d.Matches(rec) {
		return fmt.Errorf("%w: have %d bytes, root %s, want %d bytes, %s", ErrCorrupt, d.Size(), d.Root(), rec.Size, rec.Root)
	}
	if st.inTable {
		st.keepSealed(rec)
		return nil
	}
	s.dress(st.f, st.path, &entry{Accepted: Ballot{}, Record: rec, Held: true, File: st.path})
	if err := s.answered("sync", time.Duration(d.Size()/hangRate)*time.Second, st.f.sync); err != nil {
		return s.fail(err)
	}
	err := st.f.Close()
	st.f = nil
	if err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	s.useList(rec, 1)
	s.mu.Unlock()
	st.record = rec
	if err := s.saveList(rec.Root, d.Hashes()); err != nil {
		return err
	}
	if err := s.syncDir(path.Dir(st.path)); err != nil {
		return err
	}
	s.mu.Lock()
	s.sealed[st.name] = append(s.sealed[st.name], st)
	s.mu.Unlock()
	return nil
}

// Discard removes the content unless a register has accepted it. It may be
// called at any time, and again.
func (st *Stage) Discard() {
	s := st.store
	if s.begin() != nil {
		if st.f != nil {
			_ = st.f.Close() // the next Open sweeps it
			st.f = nil
		}
		return
	}
	defer s.end()
	visible, err := s.visible(st.name)
	if err != nil {
		return
	}
	leave := s.enter(visible)
	defer leave()
	if st.err == nil {
		st.err = errSealed
	}
	if !st.accepted {
		st.drop()
	}
}

// drop removes the file and gives back its room. Nothing is synced: what a
// crash brings back, the next Open sweeps.
func (st *Stage) drop() {
	s := st.store
	if st.path == "" {
		return
	}
	if st.f != nil {
		_ = st.f.Close()
		st.f = nil
	}
	s.unseal(st) // first: from then on nobody else looks at st
	if st.inTable {
		st.leaveMemory()
	} else if err := s.disk.remove(st.path); err != nil {
		s.log.Warn("cannot remove a temporary file", "path", s.disk.path(st.path), "err", err)
	}
	st.path = ""
	if st.record != nil {
		s.mu.Lock()
		left := s.useList(st.record, -1)
		s.mu.Unlock()
		s.dropList(st.record.Root, left)
	}
	s.release(st)
}

// sealedFor returns a stage that holds r's content durably, or nil.
func (s *Store) sealedFor(r *Record) *Stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.sealed[r.Name], func(st *Stage) bool { return st.record.SameContent(r) })
	if i < 0 {
		return nil
	}
	return s.sealed[r.Name][i]
}

// unseal forgets a sealed stage.
func (s *Store) unseal(st *Stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.sealed[st.name], func(o *Stage) bool { return o == st })
	if s.sealed[st.name] = rest; len(rest) == 0 {
		delete(s.sealed, st.name)
	}
}
