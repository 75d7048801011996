package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/dhtfs/dhtfs/filestore"
)

// What opening and reading a file can come to, besides what the system says.
var (
	errChanged = errors.New("the file is not as it was seen")
	errOpen    = errors.New("another program has the file open for writing")
)

// source is a file of the folder that is read while nobody changes it.
type source struct {
	file   *os.File
	print  Print
	mode   os.FileMode
	public func() error // whether it may still be published; nil: it may
	read   *reading
}

// reading counts what is read.
type reading struct{ files, bytes atomic.Int64 }

// openSource opens a file below dir that is still as it was seen, and that
// nobody has open for writing. Neither the file nor what its path is made of
// leads out of dir.
func openSource(dir, path string, as Print, read *reading) (*source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	file, err := root.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	s := &source{file: file, print: as, read: read}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || printOf(info) != as:
		err = errChanged
	case isBeingWritten(file):
		err = errOpen
	default:
		s.mode = info.Mode().Perm()
		return s, nil
	}
	_ = file.Close()
	return nil, err
}

func (s *source) close() { _ = s.file.Close() }

// content reads the file from its beginning. It comes to its end only if the
// file is still the one that was opened: a mixture of two states never has an end.
func (s *source) content(ctx context.Context) (*content, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	s.read.files.Add(1)
	return &content{source: s, ctx: ctx, left: s.print.Size}, nil
}

// content is one reading of a source. What went wrong with the file, not with
// whoever reads, stays in err.
type content struct {
	source *source
	ctx    context.Context // of the job that the reading is a part of
	left   int64
	err    error
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (n int, err error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if c.err == nil && c.left == 0 {
		if c.err = c.source.check(); c.err == nil {
			return 0, io.EOF
		}
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err = c.source.file.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.source.read.bytes.Add(int64(n))
	if errors.Is(err, io.EOF) { // it has become shorter
		err = errChanged
	}
	c.err = err
	return n, err
}

// check compares the file with what was opened.
func (s *source) check() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if printOf(info) != s.print {
		return errChanged
	}
	if s.public != nil {
		return s.public()
	}
	return nil
}

// hash reads the file and returns its SHA-256.
func (s *source) hash(ctx context.Context) (filestore.Hash, error) {
	c, err := s.content(ctx)
	if err != nil {
		return filestore.Hash{}, err
	}
	d := filestore.NewDigest()
	if _, err := io.Copy(d, c); err != nil {
		return filestore.Hash{}, fmt.Errorf("read: %w", err)
	}
	return d.SHA256(), nil
}
