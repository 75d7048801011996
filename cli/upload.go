package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// upload is one file to store.
type upload struct {
	name   string
	path   string      // empty: standard input
	folder string      // that path is in, and must still be in when it is read
	info   fs.FileInfo // of the file when it was found; nil for standard input
	error  error       // why it cannot be stored, when that is known already
}

// open opens the file. One that was found in a folder is not looked for outside,
// should its path have become a link meanwhile.
func (u upload) open() (*os.File, error) {
	if u.folder == "" {
		return os.Open(u.path)
	}
	return os.OpenInRoot(u.folder, u.path)
}

// total is the size of all uploads, -1 if one has no known size.
func total(uploads []upload) int64 {
	var sum int64
	for _, u := range uploads {
		if u.path == "" {
			return -1
		}
		if u.info != nil {
			sum += u.info.Size()
		}
	}
	return sum
}

// isSmall reports whether the file goes together with others in one call.
func (u upload) isSmall() bool {
	return u.error == nil && u.path != "" && u.info.Size() <= api.MaxInline && checkName(u.name) == nil
}

// storing is one store: in every attempt it has the same operation ID and base.
type storing struct {
	op    filestore.OpID
	base  uint64
	known bool // base is
}

func newStoring() storing { return storing{op: node.NewOp()} }

// store brings one file to the ring, and no content where the ring has it
// already or would refuse it.
func (s *storer) store(ctx context.Context, u upload, o storing) (api.Stored, error) {
	if u.error != nil {
		return api.Stored{}, u.error
	}
	if err := checkName(u.name); err != nil {
		return api.Stored{}, err
	}
	var stored api.Stored
	err := retry(ctx, s.options.retry, s.report.again(u.name), func(int) error {
		if !o.known {
			found, settled, err := s.look(ctx, u)
			if err != nil {
				return err
			}
			if settled {
				stored = found.stored()
				return nil
			}
			o.base, o.known = found.Changes, true
		}
		var err error
		stored, err = s.send(ctx, u, o)
		return err
	})
	return stored, err
}

// checkName returns nil for a name that can be stored.
func checkName(name string) error {
	err := filestore.ValidateName(name)
	if err == nil {
		return nil
	}
	if strings.HasPrefix(name, "/") {
		err = fmt.Errorf("%w: %q begins with a slash", filestore.ErrBadName, name)
	}
	return withHint(err, "store it under another name:  --as NAME")
}

// found is what the ring has under a name, and what that means for a store.
type found struct {
	api.Stat
	action string
}

// stored is the outcome of a store that sends nothing.
func (f found) stored() api.Stored {
	s := api.Stored{Action: f.action, File: f.File, Copies: f.Copies, Want: f.Want}
	for _, h := range f.Holders {
		if h.State == string(node.Durable) {
			s.Nodes = append(s.Nodes, h)
		}
	}
	return s
}

// look asks what is stored under the name of u, and weighs that.
func (s *storer) look(ctx context.Context, u upload) (f found, settled bool, err error) {
	stat, err := s.client.Stat(ctx, u.name)
	if errors.Is(err, node.ErrNotFound) {
		f.Changes = api.Describe(err).Changes
		return f, false, nil
	}
	if errors.Is(err, node.ErrVacant) { // nobody can tell, and it can be stored all the same
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	return s.weigh(u, stat)
}

// weigh compares what is to be stored with what is. It is settled when nothing needs
// to be sent.
func (s *storer) weigh(u upload, stat api.Stat) (f found, settled bool, err error) {
	f.Stat = stat
	if u.path == "" || !stat.Confirmed || s.options.replicas > 0 || s.options.quorum > 0 {
		return f, false, nil
	}
	if u.info.Size() == stat.Size {
		sum, err := s.hash(u)
		if err != nil {
			return f, false, err
		}
		if sum == stat.SHA256 {
			f.action = string(node.Identical)
			return f, true, nil
		}
	}
	switch s.ifExists() {
	case node.Skip:
		f.action = string(node.Skipped)
		return f, true, nil
	case node.Fail:
		file := stat.File
		failure := api.Describe(node.ErrExists)
		failure.Existing = &file
		return f, false, failure
	}
	return f, false, nil
}

func (s *storer) ifExists() node.IfExists {
	if s.options.force {
		return node.Replace
	}
	e, _ := node.ParseIfExists(s.options.ifExists) // validate has seen it
	return e
}

func (s *storer) hash(u upload) (string, error) {
	f, err := u.open()
	if err != nil {
		return "", reading(err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", reading(err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// send makes one attempt to store the content of u.
func (s *storer) send(ctx context.Context, u upload, o storing) (api.Stored, error) {
	options := s.shared()
	options.Op, options.Base, options.Mode, options.Modified = o.op, o.base, 0o644, time.Now()
	stdin := &gate{r: s.app.stdin}
	content := io.Reader(stdin)
	if u.path != "" {
		file, err := u.open()
		if err != nil {
			return api.Stored{}, reading(err)
		}
		defer func() { _ = file.Close() }()
		before, err := file.Stat()
		if err != nil {
			return api.Stored{}, err
		}
		options.Empty = before.Size() == 0
		options.Size, options.Mode, options.Modified = before.Size(), before.Mode().Perm(), before.ModTime()
		if before.Size() >= handOver && s.limiter == nil {
			if stored, err := s.hand(ctx, u.name, file, options); !errors.Is(err, api.ErrNoFile) {
				return stored, err
			}
		}
		if content, err = api.NewSteadyReader(file, before, before.Name()); err != nil {
			return api.Stored{}, err
		}
	}
	counted := s.progress.reader(s.limited(ctx, content))
	stored, err := s.client.Store(ctx, u.name, counted, options)
	if err != nil {
		counted.withdraw()
		if u.path == "" && !stdin.untouched() {
			err = final{err} // standard input cannot be read twice
		}
	}
	return stored, err
}

// shared are the options that all files of the command have.
func (s *storer) shared() node.StoreOptions {
	return node.StoreOptions{
		IfExists: s.ifExists(), Replicas: s.options.replicas, Quorum: s.options.quorum, Compress: s.options.compress,
	}
}

// limited reads no faster than --limit allows.
func (s *storer) limited(ctx context.Context, r io.Reader) io.Reader {
	if s.limiter == nil {
		return r
	}
	return &limitedReader{r: r, wait: func(n int) error { return s.limiter.WaitN(ctx, n) }}
}

// handOver is from which size on the daemon reads and writes a file by itself.
const handOver = 1 << 20

// hand makes one attempt to store a file that the daemon reads.
func (s *storer) hand(ctx context.Context, name string, file *os.File, options node.StoreOptions) (api.Stored, error) {
	end := s.progress.follow(file, 0)
	stored, err := s.client.StoreFile(ctx, name, file, options)
	if moved := end(); err != nil {
		s.progress.add(-moved)
	}
	return stored, err
}
