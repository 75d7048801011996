package filestore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// Content is a content open for reading. It stays readable when the name gets
// other content or is deleted. Every byte it gives out has been checked; when
// one is wrong the file is quarantined, its register no longer Held, and the
// error ErrCorrupt. Safe for concurrent use.
type Content struct {
	store  *Store
	name   string
	sum    Hash
	root   Hash
	size   int64
	staged string // the entry's File: which copy this is
	f      file

	mu     sync.Mutex
	hashes []Hash
	cached int    // the chunk in cache
	cache  []byte // for ReadAt; nil: none
}

// errGone marks content whose file is not there any more.
var errGone = errors.New("the file is gone")

// Open opens the content of name whose SHA-256 is sum, accepted or only
// sealed. ErrNotFound if it is not here. Close it.
func (s *Store) Open(name string, sum Hash) (*Content, error) {
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer s.end()
	defer s.watched("open")()
	visible, err := s.visible(name)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	// Between looking it up and opening it a file may be renamed or replaced.
	// What was opened is right if the register names the same copy after it.
	for waited := false; ; {
		c, err := s.locate(name, sum)
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
		if c.f != nil { // in memory
			return c, nil
		}
		failure := c.open(visible)
		if failure != nil && (isPassing(failure) || errors.Is(failure, fs.ErrClosed)) {
			return nil, fmt.Errorf("open: %w", failure)
		}
		again, err := s.locate(name, sum)
		switch {
		case err == nil && again.staged != c.staged || err != nil:
			if failure == nil {
				_ = c.f.Close()
			}
			// which fails if it is gone, and else finds the new copy
		case failure == nil:
			return c, nil
		case !waited: // a small one may have been accepted, and its file be on its way
			s.enter(visible)()
			waited = true
		case errors.Is(failure, fs.ErrNotExist):
			return nil, fmt.Errorf("open: %w", s.lose(c, fmt.Errorf("%w: %w", ErrNotFound, errGone)))
		default:
			return nil, fmt.Errorf("open: %w", c.damaged(failure))
		}
	}
}

// open opens the file, wherever it is, if it has the right length.
func (c *Content) open(visible string) error {
	f, err := c.store.disk.open(c.staged)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = c.store.disk.open(visible)
	}
	if err != nil {
		return err
	}
	if n, err := f.size(); err != nil || n != c.size {
		return errors.Join(fmt.Errorf("%d bytes instead of %d", n, c.size), err, f.Close())
	}
	c.f = f
	return nil
}

// Holds reports whether the content of name whose SHA-256 is sum is durable
// here, accepted or only sealed.
func (s *Store) Holds(name string, sum Hash) bool {
	if s.begin() != nil {
		return false
	}
	defer s.end()
	if ValidateName(name) != nil {
		return false
	}
	_, err := s.locate(name, sum)
	return err == nil
}

// locate finds which copy of a content is here.
func (s *Store) locate(name string, sum Hash) (*Content, error) {
	e, err := s.load(name)
	if err != nil && !errors.Is(err, ErrDegraded) {
		return nil, err
	}
	if err == nil && e.Held && e.Record.SHA256 == sum {
		c := s.content(e.Record, e.File)
		if s.isUnplaced(e) {
			if content := s.journaled(e); content != nil {
				c.f = memoryFile{bytes.NewReader(content)}
			}
		}
		return c, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.sealed[name] {
		if st.record.SHA256 != sum {
			continue
		}
		c := s.content(st.record, st.path)
		if st.inTable {
			c.f = memoryFile{bytes.NewReader(st.small)}
		}
		return c, nil
	}
	return nil, fmt.Errorf("%w: content of %q", ErrNotFound, name)
}

func (s *Store) content(r *Record, staged string) *Content {
	return &Content{store: s, name: r.Name, sum: r.SHA256, root: r.Root, size: r.Size, staged: staged}
}

// Close ends the use of c.
func (c *Content) Close() error { return c.f.Close() }

// Size returns the length in bytes.
func (c *Content) Size() int64 { return c.size }

// Hashes returns the SHA-256 of each chunk, which RootOf has confirmed. The
// caller must not change them.
func (c *Content) Hashes() ([]Hash, error) {
	c.mu.Lock()
	known := c.hashes
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	hashes, err := c.findHashes()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.hashes = hashes
	c.mu.Unlock()
	return hashes, nil
}

func (c *Content) findHashes() ([]Hash, error) {
	defer c.store.watched("read")()
	switch ChunkCount(c.size) {
	case 0:
		return []Hash{}, nil
	case 1:
		return []Hash{c.sum}, nil
	}
	hashes, err := c.store.readList(c.root, c.size)
	if err == nil {
		return hashes, nil
	}
	c.store.log.Info("hash list is missing or damaged, hashing again", "name", c.name, "err", err)
	d := NewDigest()
	if _, err := io.Copy(d, io.NewSectionReader(c.f, 0, c.size)); err != nil {
		return nil, c.damaged(err)
	}
	if d.Size() != c.size || d.SHA256() != c.sum || d.Root() != c.root {
		return nil, c.damaged(errors.New("wrong SHA-256"))
	}
	hashes = d.Hashes()
	c.keepHashes(hashes)
	return hashes, nil
}

// keepHashes saves the hash list again, unless the content was given up.
func (c *Content) keepHashes(hashes []Hash) {
	s := c.store
	if s.beginWrite() != nil {
		return
	}
	defer s.end()
	s.mu.Lock()
	used := s.lists[c.root] > 0
	s.mu.Unlock()
	if !used {
		return
	}
	if err := s.saveList(c.root, hashes); err != nil {
		s.log.Warn("cannot save a hash list", "name", c.name, "err", err)
	}
}

// ReadChunk reads chunk i into buf, which has room for it, checks it, and
// returns its length.
func (c *Content) ReadChunk(i int, buf []byte) (int, error) {
	n, sum, err := c.ReadUnchecked(i, buf)
	if err != nil {
		return 0, err
	}
	if Hash(sha256.Sum256(buf[:n])) != sum {
		return 0, c.damaged(fmt.Errorf("chunk %d: wrong SHA-256", i))
	}
	return n, nil
}

// ReadUnchecked is ReadChunk without the check, for those who check the bytes
// against the SHA-256 that it returns before anybody sees them. Who finds them
// wrong should have them read by ReadChunk, so that the copy is given up.
func (c *Content) ReadUnchecked(i int, buf []byte) (int, Hash, error) {
	hashes, err := c.Hashes()
	if err != nil {
		return 0, Hash{}, err
	}
	if i < 0 || i >= len(hashes) {
		return 0, Hash{}, fmt.Errorf("no chunk %d of %d", i, len(hashes))
	}
	off := int64(i) * ChunkSize
	n := int(min(ChunkSize, c.size-off))
	if len(buf) < n {
		return 0, Hash{}, io.ErrShortBuffer
	}
	defer c.store.watched("read")()
	_, err = io.ReadFull(io.NewSectionReader(c.f, off, int64(n)), buf[:n])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the file is shorter than it was: no end that a reader may believe in
	}
	if err != nil {
		return 0, Hash{}, c.damaged(fmt.Errorf("chunk %d: %w", i, err))
	}
	return n, hashes[i], nil
}

// ReadAt implements io.ReaderAt with checked bytes. It reads whole chunks and
// remembers the last one.
func (c *Content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= c.size {
			return done, io.EOF
		}
		chunk, err := c.cachedChunk(int(at / ChunkSize))
		if err != nil {
			return done, err
		}
		done += copy(p[done:], chunk[at%ChunkSize:])
	}
	return done, nil
}

// cachedChunk returns chunk i, which nobody changes.
func (c *Content) cachedChunk(i int) ([]byte, error) {
	c.mu.Lock()
	if c.cache != nil && c.cached == i {
		defer c.mu.Unlock()
		return c.cache, nil
	}
	c.mu.Unlock()
	buf := make([]byte, min(ChunkSize, c.size-int64(i)*ChunkSize))
	if _, err := c.ReadChunk(i, buf); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cached, c.cache = i, buf
	return buf, nil
}

// damaged makes sure that this copy is not served again. A file that cannot
// be read is as good as a wrong one.
func (c *Content) damaged(cause error) error {
	if errors.Is(cause, fs.ErrClosed) || isPassing(cause) {
		return cause
	}
	s := c.store
	if s.begin() == nil {
		defer s.end()
		cause = s.lose(c, cause)
	}
	return fmt.Errorf("%w: %q: %w", ErrCorrupt, c.name, cause)
}

// saveList makes the chunk hashes of a content durable beside the files.
// A content of one chunk has none: its SHA-256 is its chunk hash.
func (s *Store) saveList(root Hash, hashes []Hash) error {
	if len(hashes) <= 1 {
		return nil
	}
	var b bytes.Buffer
	for i := range hashes {
		b.Write(hashes[i][:])
	}
	temp := tempPath(listsDir)
	f, err := s.create(temp)
	if err != nil {
		return err
	}
	if _, err = f.Write(b.Bytes()); err == nil {
		err = f.sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.disk.rename(temp, listPath(root))
	}
	err = s.fail(err)
	if err != nil {
		return errors.Join(err, s.disk.remove(temp))
	}
	return s.syncDir(listsDir)
}

func (s *Store) readList(root Hash, size int64) (hashes []Hash, err error) {
	f, err := s.disk.open(listPath(root))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hashes = make([]Hash, ChunkCount(size))
	r := io.NewSectionReader(f, 0, int64(len(hashes))*int64(len(Hash{})))
	for i := range hashes {
		if _, err := io.ReadFull(r, hashes[i][:]); err != nil {
			return nil, err
		}
	}
	if RootOf(size, hashes) != root {
		return nil, ErrCorrupt
	}
	return hashes, nil
}

// dropList removes a hash list that no content uses any more. If one comes
// back at the same moment it is computed again when needed.
func (s *Store) dropList(root Hash, left int) {
	if left != 0 {
		return
	}
	if err := s.disk.remove(listPath(root)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove a hash list", "root", root, "err", err)
	}
}

func listPath(root Hash) string { return listsDir + "/" + root.String() }
