package node

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// Target is a file that content is saved in.
type Target interface {
	io.Writer
	io.Seeker
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// Save writes the rest of the content to a file whose first bytes, as many as the
// fetch's offset, are there from an earlier attempt; the offset is to be a multiple
// of filestore.ChunkSize. It goes on after the last good chunk of these and returns
// how many bytes it has kept. When it returns no error the whole file has the
// SHA-256 of its record. Until then it may hold bytes that nobody has checked.
//
// Save takes the file over and has closed it when it returns. Until then others that
// save the same content may read it, see sharing, if the fetch is Lazy: otherwise it
// has asked a holder already.
//
// Reading every byte of a content once is less than half the work of checking each
// chunk too, so the chunks' own hashes are only asked when the whole is wrong: they
// tell which chunks are to be fetched again, from a holder that checks them.
func (f *Fetched) Save(to Target) (kept int64, err error) {
	v := f.pull.node.sharing.join(&f.pull, to)
	defer func() { v.leave(err) }()
	kept, err = f.save(v)
	if err != nil {
		return kept, &OpError{Op: "fetch", Name: f.file.Record.Name, Err: err}
	}
	return kept, nil
}

var errWhole = errors.New("only a whole file can be saved")

func (f *Fetched) save(v *saver) (kept int64, err error) {
	p := &f.pull
	if f.end != p.record.Size || f.at%filestore.ChunkSize != 0 {
		return 0, errWhole
	}
	if v.await() {
		v.letGo() // what there is comes first, and may take its time
	} else if err := f.begin(); err != nil {
		return 0, err
	}
	whole := sha256.New()
	v.isWriting(time.Now()) // its disk holds followers up as much when it is read
	if kept, err = f.keep(v.file, whole); err != nil {
		return 0, err
	}
	if _, err := v.file.Seek(kept, io.SeekStart); err != nil {
		return kept, err
	}
	if kept < f.at { // some of it is damaged: begin there, at the same holder
		if p.current != nil {
			p.close()
			p.sources = slices.Insert(p.sources, 0, p.using)
		}
		f.at, p.next = kept, kept/filestore.ChunkSize
	}
	v.begin()
	p.blind = true
	for p.next < p.last {
		raw, err := v.chunk()
		if err != nil {
			return kept, err
		}
		whole.Write(raw)
		if err := v.write(raw); err != nil {
			return kept, &TargetError{err}
		}
	}
	f.at = f.end
	if bytes.Equal(whole.Sum(nil), p.record.SHA256[:]) {
		return kept, nil
	}
	return kept, f.mend(v.file)
}

// TargetError is a failure of the file that content is saved in.
type TargetError struct{ Err error }

// Error is the file's.
func (e *TargetError) Error() string { return e.Err.Error() }

// Unwrap returns the file's error.
func (e *TargetError) Unwrap() error { return e.Err }

// keep hashes what an earlier attempt has left, up to the first chunk that is not
// as it should be, and returns how much that is.
func (f *Fetched) keep(from io.ReaderAt, whole hash.Hash) (int64, error) {
	hashes := f.pull.hashes
	if f.at == 0 || hashes == nil { // the whole tells in the end
		_, err := io.Copy(whole, io.NewSectionReader(from, 0, f.at))
		return f.at, err
	}
	buf := make([]byte, filestore.ChunkSize)
	for at := int64(0); at < f.at; at += filestore.ChunkSize {
		if _, err := from.ReadAt(buf, at); err != nil || sha256.Sum256(buf) != hashes[at/filestore.ChunkSize] {
			return at, nil
		}
		whole.Write(buf)
	}
	return f.at, nil
}

// mend fetches again the chunks of a complete file that are not what they should be.
func (f *Fetched) mend(file Target) error {
	p := &f.pull
	n := p.node
	n.log.Warn("a fetched file is damaged; its chunks are checked one by one", "name", p.record.Name, "peer", p.from)
	whole, buf := sha256.New(), make([]byte, filestore.ChunkSize)
	for i := range int64(filestore.ChunkCount(p.record.Size)) {
		at := i * filestore.ChunkSize
		raw := buf[:min(filestore.ChunkSize, p.record.Size-at)]
		if _, err := file.ReadAt(raw, at); err != nil {
			return err
		}
		if p.hashes == nil || sha256.Sum256(raw) != p.hashes[i] {
			good, err := p.again(i)
			if err != nil {
				return err
			}
			if _, err := file.WriteAt(good, at); err != nil {
				return &TargetError{err}
			}
			copy(raw, good)
		}
		whole.Write(raw)
	}
	if !bytes.Equal(whole.Sum(nil), p.record.SHA256[:]) {
		return fmt.Errorf("%w: key %s: the chunks are right and the SHA-256 of the whole is not", filestore.ErrCorrupt, chord.KeyOf(p.record.Name))
	}
	return nil
}

// again gets one chunk, checked by the holder that reads it and by this node.
func (p *pull) again(chunk int64) ([]byte, error) {
	one := pull{node: p.node, ctx: p.ctx, record: p.record, next: chunk, last: chunk + 1, hashes: p.hashes}
	for _, m := range p.node.rank(&p.record, p.record.Voters.All()) {
		one.sources = append(one.sources, candidate{m, true})
	}
	defer one.close()
	raw, err := one.chunk()
	p.hashes, p.errs = one.hashes, one.errs
	return bytes.Clone(raw), err
}
