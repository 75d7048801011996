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
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/dhtfs/dhtfs/node/api"
)

// target is where fetched files go. Names from the ring are not trusted:
// everything is done through root, which nothing leads out of.
type target struct {
	root   *os.Root
	shown  string   // before the names of files when they are printed
	file   string   // the one file's name in root; empty: each file under its own name
	stream *os.File // set alone when the target is a device or a pipe
	dir    *os.File // root itself, of a folder in which all names are plain; else nil
	fd     int      // of dir
}

// openTarget reads -o: an existing folder, or a path that ends in a slash, is
// a folder and made if missing; otherwise it is the file. A pipe is opened once
// somebody reads from it, unless ctx ends before.
func openTarget(ctx context.Context, output string, several bool) (*target, error) {
	info, err := os.Stat(output)
	folder := strings.HasSuffix(output, "/") || strings.HasSuffix(output, string(filepath.Separator))
	switch {
	case err == nil && !info.IsDir() && !info.Mode().IsRegular() && !folder && !several:
		stream, err := openStream(ctx, output)
		if err != nil {
			return nil, err
		}
		return &target{stream: stream, shown: output}, nil
	case err == nil && info.IsDir():
		folder = true
	case folder:
		if err := os.MkdirAll(output, 0o777); err != nil {
			return nil, writing(err)
		}
	case several:
		return nil, usagef("-o %s is a file, and there are several to fetch; a folder ends in a slash", output)
	}
	t := &target{shown: output}
	dir := output
	if !folder {
		t.file = filepath.Base(output)
		dir = filepath.Dir(output)
		t.shown = dir
	}
	if t.root, err = os.OpenRoot(dir); err != nil {
		return nil, writing(err)
	}
	return t, nil
}

// openStream opens a device or a pipe to write to it.
func openStream(ctx context.Context, output string) (*os.File, error) {
	type opened struct {
		file *os.File
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		file, err := os.OpenFile(output, os.O_WRONLY, 0)
		done <- opened{file, err}
	}()
	select {
	case o := <-done:
		return o.file, writing(o.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *target) close() {
	if t.root != nil {
		_ = t.root.Close()
	}
	if t.stream != nil {
		_ = t.stream.Close()
	}
	if t.dir != nil {
		_ = t.dir.Close()
	}
}

// place returns where the file name goes, relative to root, and makes the
// folders it goes to.
func (t *target) place(name string) (string, error) {
	if t.file != "" {
		return t.file, nil
	}
	local, err := localName(name)
	if err != nil {
		return "", err
	}
	if err := t.root.MkdirAll(filepath.Dir(local), 0o777); err != nil {
		return "", writing(err)
	}
	return local, nil
}

// localName is a name of the ring as a path here, if it is safe as one.
func localName(name string) (string, error) {
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) || local == "." || filepath.ToSlash(filepath.Clean(local)) != name {
		return "", withHint(usagef("%q is no safe name for a file here", name), "-o FILE gives it another one")
	}
	return local, nil
}

// path is local as it is printed.
func (t *target) path(local string) string { return filepath.Join(t.shown, local) }

// partOf is the temporary file for a content, by its SHA-256, that goes to local. Its
// name is the same in every attempt, so that the next one can go on where one broke
// off, and another one for another version and for another name.
func partOf(local, content string) string {
	dir, base := filepath.Split(local)
	const most = 200 // of the 255 bytes of a file name
	if len(base) > most {
		of := sha256.Sum256([]byte(base + content)) // as others may begin with the same 200 bytes
		base, content = strings.ToValidUTF8(base[:most], ""), hex.EncodeToString(of[:])
	}
	return dir + "." + base + "." + content[:min(16, len(content))] + partSuffix
}

const partSuffix = ".dhtfs-part"

// isPart reports whether a file's name is that of a temporary one.
func isPart(base string) bool {
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, partSuffix)
}

// partFile is a temporary file that becomes a fetched one. Until unlock is called no other
// fetch writes, renames or removes it, where the system has locks: else two that fetch the
// same content to the same place would give a name to what the other still writes.
type partFile struct {
	*os.File
	at     string // its path, in the target
	unlock func()
}

// partFor opens a temporary file for a content that goes to local: the one that every
// fetch of it goes on with, or while another has that, this one's own.
func (t *target) partFor(ctx context.Context, local, content, own string) (*partFile, error) {
	p, err := t.openPart(ctx, partOf(local, content))
	if errors.Is(err, errPartInUse) {
		p, err = t.openPart(ctx, partOf(local, own))
	}
	if ctx.Err() != nil {
		return p, err
	}
	return p, writing(err)
}

// errPartInUse: another fetch of the same content to the same place goes on, or somebody
// plays with its temporary file.
var errPartInUse = errors.New("the temporary file is in use")

// openPart opens a temporary file: a new one, or what an earlier attempt of this
// user has left. Anything else there, such as a link or a file that somebody else
// could go on changing, is removed, if nobody has it locked and it can be.
func (t *target) openPart(ctx context.Context, at string) (*partFile, error) {
	const again = 3
	for range again {
		p, err := t.tryPart(ctx, at)
		if p != nil || err != nil {
			return p, err
		}
	}
	return nil, errPartInUse
}

// tryPart is one attempt of openPart: nil when something was in the way, and is so no more.
func (t *target) tryPart(ctx context.Context, at string) (*partFile, error) {
	file, err := t.root.OpenFile(at, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	created, usable := err == nil, false
	if errors.Is(err, fs.ErrExist) {
		file, usable, err = t.reopenPart(at)
	}
	if file == nil || err != nil {
		return nil, err
	}
	unlock, err := waitLock(ctx, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	p := &partFile{file, at, unlock}
	switch info, err := t.root.Lstat(at); {
	case err != nil, !isFile(file, info): // who had the lock has given it its name, or removed it
		return nil, p.drop()
	case !created && (!usable || !solelyOurs(info)):
		err := t.clear(at)
		return nil, errors.Join(err, p.drop())
	}
	return p, nil
}

// reopenPart opens the file that is at the path of a temporary one; nil when there is
// none any more. What is no file at all is removed. Somebody else's that cannot even be
// read is in use.
func (t *target) reopenPart(at string) (file *os.File, writable bool, err error) {
	info, err := t.root.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case !info.Mode().IsRegular():
		return nil, false, t.clear(at)
	}
	writable = true
	file, err = t.root.OpenFile(at, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		writable = false
		file, err = t.root.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may have become a pipe
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, false, errPartInUse
	case err != nil:
		return nil, false, err
	case !isFile(file, info): // it was replaced in between
		return nil, false, file.Close()
	}
	return file, writable, nil
}

// clear removes what is in a temporary file's way. What may not be removed, as in another
// user's sticky folder, stays in use.
func (t *target) clear(at string) error {
	if err := t.root.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errPartInUse
	}
	return nil
}

// drop gives up a temporary file without having written to it.
func (p *partFile) drop() error {
	p.unlock()
	return p.Close()
}

// lockWait is how long a temporary file's lock is waited for: the daemon may not have
// noticed yet that the command which it wrote the file for has been killed.
const lockWait = time.Second

// waitLock locks a temporary file. Where somebody else keeps it locked that is errPartInUse.
func waitLock(ctx context.Context, file *os.File) (unlock func(), err error) {
	for end := time.Now().Add(lockWait); ; {
		unlock, locked := tryLock(file)
		switch {
		case locked:
			return unlock, nil
		case time.Now().After(end):
			return nil, errPartInUse
		}
		select {
		case <-time.After(lockWait / 20):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// isFile reports whether file is the one that info is of.
func isFile(file *os.File, info fs.FileInfo) bool {
	now, err := file.Stat()
	return err == nil && os.SameFile(now, info)
}

// free returns the first of "name (1).ext", "name (2).ext", … that does not exist.
func (t *target) free(local string) (string, error) {
	extension := filepath.Ext(local)
	if extension == filepath.Base(local) {
		extension = "" // a dot file
	}
	stem := strings.TrimSuffix(local, extension)
	for i := 1; i < 10000; i++ {
		candidate := fmt.Sprintf("%s (%d)%s", stem, i, extension)
		if _, err := t.root.Lstat(candidate); errors.Is(err, fs.ErrNotExist) {
			return candidate, nil
		} else if err != nil {
			return "", writing(err)
		}
	}
	return "", occupied(t.path(local))
}

// publish gives a finished temporary file its name. Unless overwrite is set, a
// file that has come there meanwhile stays.
func (t *target) publish(part, local string, overwrite bool) error {
	if overwrite {
		return writing(t.root.Rename(part, local))
	}
	err := errors.ErrUnsupported
	if t.dir != nil {
		err = renameNew(t.fd, part, local)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		if err = t.root.Link(part, local); err == nil {
			return writing(t.root.Remove(part))
		}
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return occupied(t.path(local))
	}
	return writing(t.root.Rename(part, local)) // a file system without links
}

// sync makes the name of local durable.
func (t *target) sync(local string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no call for that
	}
	dir, err := t.root.Open(filepath.Dir(local))
	if err != nil {
		return writing(err)
	}
	return writing(errors.Join(dir.Sync(), dir.Close()))
}

// identical reports whether the file at local has this size and SHA-256.
func (t *target) identical(local string, file api.File) (bool, error) {
	f, err := t.root.Open(local)
	if err != nil {
		return false, writing(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != file.Size {
		return false, err
	}
	sum := newSum()
	if _, err := io.Copy(sum, f); err != nil {
		return false, writing(err)
	}
	return sum.is(file.SHA256), nil
}

// occupied says that another file is where a fetched one should go.
func occupied(path string) error {
	return &api.Error{
		Code:    api.ExitExists,
		ID:      "target_exists",
		Message: fmt.Sprintf("%s exists already and differs", path),
		Hint:    "--conflict overwrite replaces it, --conflict rename keeps both, -o FILE fetches to another place",
	}
}

// writing is an error of the local disk, which is not one of the ring; nil stays nil.
func writing(err error) error {
	if err == nil {
		return nil
	}
	return api.Writing(err)
}
