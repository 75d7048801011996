package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// copyBuffer is how much content is moved at once.
const copyBuffer = 256 << 10

// fetcher fetches files.
type fetcher struct {
	app      *app
	client   *api.Client
	options  fetchOptions
	target   *target   // nil with standard output
	stdout   io.Writer // set when content goes to a stream
	report   *report
	progress *progress
	large    *jobs // bounds the large files; nil: there is one
}

// fetchResult tells what became of a fetch.
type fetchResult struct {
	file     api.File
	action   string // fetched, identical or skipped
	path     string // where it is, as it is printed
	bytes    int64  // that came from the ring
	resumed  int64  // that were there already
	verified bool
	from     []string
	ownPart  string // a temporary file that nobody else goes on with, if one is left
}

// sum is a SHA-256 that can be compared with a record's.
type sum struct{ hash.Hash }

func newSum() sum { return sum{sha256.New()} }

func (s sum) is(want string) bool { return hex.EncodeToString(s.Sum(nil)) == want }

// toStream writes the content of name to the stream. What has been written is
// not written again when an attempt breaks off.
func (f *fetcher) toStream(ctx context.Context, name string) (fetchResult, error) {
	got := fetchResult{action: "fetched", path: f.options.output}
	check := newSum()
	var expected sync.Once
	err := retry(ctx, f.options.retry, f.report.again(name), func(attempt int) error {
		content, err := f.client.Fetch(ctx, name, f.options.query(got.bytes))
		if err != nil {
			return err
		}
		defer func() { _ = content.Close() }()
		if attempt > 0 && got.bytes > 0 && content.File.SHA256 != got.file.SHA256 {
			return fmt.Errorf("fetch %q: a new version was stored meanwhile", name)
		}
		got.file = content.File
		expected.Do(func() { f.progress.expect(content.Length) })
		n, err := f.copy(io.MultiWriter(check, f.stdout), content)
		got.bytes += n
		got.from = append(got.from, content.From()...)
		return err
	})
	if err != nil {
		return got, err
	}
	if !f.options.partial() {
		if !check.is(got.file.SHA256) {
			return got, damaged(name)
		}
		got.verified = true
	}
	return got, nil
}

// copy moves content and tells a failing disk from a failing ring.
func (f *fetcher) copy(w io.Writer, content *api.Content) (int64, error) {
	out := &localWriter{w: w}
	n, err := io.CopyBuffer(out, struct{ io.Reader }{f.progress.reader(content)}, make([]byte, copyBuffer))
	if out.failure != nil {
		return n, writing(out.failure)
	}
	return n, err
}

// localWriter remembers that it was the writer that failed.
type localWriter struct {
	w       io.Writer
	failure error
}

func (l *localWriter) Write(p []byte) (int, error) {
	n, err := l.w.Write(p)
	l.failure = errors.Join(l.failure, err)
	return n, err
}

// toFile writes name to a temporary file beside its target and renames it.
func (f *fetcher) toFile(ctx context.Context, name string) (fetchResult, error) {
	var got fetchResult
	var expected sync.Once
	own := rand.Text()
	err := retry(ctx, f.options.retry, f.report.again(name), func(int) error {
		var err error
		got, err = f.attempt(ctx, name, own, &expected)
		return err
	})
	if got.ownPart != "" {
		_ = f.target.root.Remove(got.ownPart)
	}
	return got, err
}

// attempt is one try of toFile. It leaves its temporary file behind only when
// the next try can go on with it: its own only for this fetch, which has to remove it.
// The first one that knows the file's length tells the progress.
func (f *fetcher) attempt(ctx context.Context, name, own string, expected *sync.Once) (fetchResult, error) {
	content, err := f.open(ctx, name)
	if err != nil {
		return fetchResult{}, err
	}
	defer func() { _ = content.Close() }()
	got := fetchResult{file: content.File}
	local, err := f.target.place(name)
	if err != nil {
		return got, err
	}
	if local, got.action, err = f.settle(f.target, local, content.File); err != nil {
		return got, err
	}
	got.path = f.target.path(local)
	if got.action != "fetched" {
		return got, nil
	}
	expected.Do(func() { f.progress.expect(content.Length) })
	kept := content.File.SHA256
	if f.options.partial() { // not the file of one who fetches all of it
		kept = own
	}
	part, err := f.target.partFor(ctx, local, kept, own)
	if err != nil {
		return got, err
	}
	defer part.unlock()
	if err = f.fill(ctx, part, content, &got); err == nil {
		err = f.target.publish(part.at, local, f.options.conflict == "overwrite")
	}
	switch {
	case err == nil && f.options.fsync:
		return got, f.target.sync(local)
	case err == nil:
		return got, nil
	}
	goesOn := ctx.Err() != nil || passing(err, 2) || isFull(err)
	if !goesOn && f.cameMeanwhile(f.target, local, &got) {
		err = nil
	}
	switch {
	case !goesOn:
		_ = f.target.root.Remove(part.at)
	case part.at == partOf(local, own):
		got.ownPart = part.at
	}
	return got, err
}

// cameMeanwhile reports whether another fetch has put the same content at local.
func (f *fetcher) cameMeanwhile(t *target, local string, got *fetchResult) bool {
	if f.options.partial() {
		return false
	}
	_, action, err := f.settle(t, local, got.file)
	if err != nil || action != "identical" {
		return false
	}
	got.action = action
	return true
}

// isFull reports whether the target's file system has no room: what has come stays, for
// when there is.
func isFull(err error) bool { return api.DiskFull(err) || api.Describe(err).ID == "local_disk_full" }

// open asks for name: for the record alone where the daemon had better write the
// file itself.
func (f *fetcher) open(ctx context.Context, name string) (*api.Content, error) {
	if f.options.partial() {
		return f.client.Fetch(ctx, name, f.options.query(0))
	}
	return f.client.FetchSmall(ctx, name, f.options.query(0), handOver)
}

// settle decides, with --conflict, where a file goes or that it stays away.
func (f *fetcher) settle(t *target, local string, file api.File) (to, action string, err error) {
	info, err := t.root.Lstat(local)
	if errors.Is(err, fs.ErrNotExist) {
		return local, "fetched", nil
	}
	if err != nil {
		return local, "", writing(err)
	}
	if info.Mode().IsRegular() && !f.options.partial() {
		same, err := t.identical(local, file)
		if err != nil || same {
			return local, "identical", err
		}
	}
	switch {
	case f.options.conflict == "skip":
		return local, "skipped", nil
	case f.options.conflict == "rename":
		to, err := t.free(local)
		return to, "fetched", err
	case f.options.conflict == "overwrite" && !info.IsDir():
		return local, "fetched", nil
	}
	return local, "", occupied(t.path(local))
}

// fill makes the temporary file the content's, going on with what an earlier attempt has
// left there, and closes it.
func (f *fetcher) fill(ctx context.Context, part *partFile, content *api.Content, got *fetchResult) (err error) {
	file := part.File
	defer func() { err = errors.Join(err, writing(file.Close())) }()
	if content.Later {
		err := f.inTurn(ctx, func() error { return f.save(ctx, file, got) })
		if err == nil {
			return f.finish(f.target, file, part.at, got.file)
		}
		if !errors.Is(err, api.ErrNoFile) {
			return err
		}
		if content, err = f.client.Fetch(ctx, got.file.Name, f.options.query(0)); err != nil {
			return err
		}
		defer func() { _ = content.Close() }()
	}
	check := newSum()
	if got.resumed, err = f.resume(file, check); err != nil {
		return err
	}
	if got.resumed > 0 {
		_ = content.Close()
		if content, err = f.client.Fetch(ctx, got.file.Name, f.options.query(got.resumed)); err != nil {
			return err
		}
		defer func() { _ = content.Close() }()
		if content.File.SHA256 != got.file.SHA256 {
			return fmt.Errorf("fetch %q: %w: a new version was stored meanwhile", got.file.Name, node.ErrInterrupted)
		}
	}
	got.bytes, err = f.copy(io.MultiWriter(file, check), content)
	if err != nil {
		f.progress.add(-got.resumed - got.bytes) // the next attempt counts what is kept
		return err
	}
	got.from = content.From()
	if !f.options.partial() && !check.is(got.file.SHA256) {
		if got.resumed > 0 { // it was the old part that is wrong: begin again
			return errors.Join(writing(file.Truncate(0)), fmt.Errorf("fetch %q: %w: what was kept of it was damaged", got.file.Name, node.ErrInterrupted))
		}
		return damaged(got.file.Name)
	}
	got.verified = !f.options.partial()
	return f.finish(f.target, file, part.at, got.file)
}

// inTurn does what takes much of the machine when few others do.
func (f *fetcher) inTurn(ctx context.Context, do func() error) error {
	if f.large == nil {
		return do()
	}
	leave, ok := f.large.enter(ctx, true)
	if !ok {
		return ctx.Err()
	}
	defer leave()
	return do()
}

// save has the daemon write the file, after what an earlier attempt has left.
func (f *fetcher) save(ctx context.Context, file *os.File, got *fetchResult) error {
	info, err := file.Stat()
	if err != nil {
		return writing(err)
	}
	have := min(info.Size(), got.file.Size)
	if info.Size() > have {
		if err := file.Truncate(have); err != nil {
			return writing(err)
		}
	}
	if _, err := file.Seek(have, io.SeekStart); err != nil {
		return writing(err)
	}
	f.progress.add(have)
	end := f.progress.follow(file, have)
	saved, err := f.client.Save(ctx, got.file.Name, got.file.SHA256, file, have, f.options.query(0))
	moved := end()
	if err != nil {
		f.progress.add(-have - moved) // the next attempt counts what is kept
		return err
	}
	got.resumed, got.bytes, got.verified, got.from = saved.Kept, got.file.Size-saved.Kept, true, saved.From
	return nil
}

// resume reads what an earlier attempt has left and returns how much that is.
func (f *fetcher) resume(file *os.File, check sum) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, writing(err)
	}
	if !info.Mode().IsRegular() || f.options.partial() {
		return 0, writing(file.Truncate(0))
	}
	have, err := io.Copy(check, file)
	f.progress.add(have)
	return have, writing(err)
}

// finish gives the temporary file its permissions and time.
func (f *fetcher) finish(t *target, file *os.File, part string, record api.File) error {
	if err := file.Chmod(modeOf(record)); err != nil {
		return writing(err)
	}
	if f.options.fsync {
		if err := file.Sync(); err != nil {
			return writing(err)
		}
	}
	if record.Modified.IsZero() {
		return nil
	}
	return writing(t.root.Chtimes(part, record.Modified, record.Modified))
}

// modeOf is the permissions that a file is to have.
func modeOf(record api.File) fs.FileMode {
	mode, err := strconv.ParseUint(record.Mode, 8, 9)
	if err != nil {
		mode = 0o644
	}
	return fs.FileMode(mode)
}
