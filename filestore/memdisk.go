package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Op is a kind of operation on a MemDisk, as its fault hook sees it.
type Op string

const (
	OpCreate  Op = "create"
	OpMkdir   Op = "mkdir"
	OpWrite   Op = "write"
	OpRead    Op = "read"
	OpSync    Op = "sync"    // of a file
	OpSyncDir Op = "syncdir" // of a directory
	OpRename  Op = "rename"
	OpRemove  Op = "remove"
	OpCommit  Op = "commit" // of the table, and the write of one to its journal
)

// MemDisk is a Disk in memory: for embedding a store that need not outlive
// its process, and for tests, which it can fail and cut the power of. Like a
// real disk it outlives the Store on it, and keeps apart what was written from
// what was synced. Safe for concurrent use.
type MemDisk struct {
	mu       sync.Mutex
	root     *memNode
	pending  []*memChange // of directories, not yet durable, in order
	tab      *memTable
	holder   *int // whoever holds the lock
	life     int  // how often the power went
	used     int64
	capacity int64
	fault    func(Op, string) error
	latency  atomic.Int64 // of whatever reads, writes or saves, in nanoseconds
	hanging  atomic.Pointer[chan struct{}]

	noAttrs bool                  // as on a file system without extended attributes
	folds   bool                  // as on a file system that ignores case
	skip    func(Op, string) bool // syncs that are acknowledged and not done; nil: none
}

// memNode is a directory or a file.
type memNode struct {
	entries map[string]*memNode // what programs see; nil for a file
	durable map[string]*memNode // what a power loss leaves

	data     []byte
	free     bool   // of the table: takes no capacity
	writes   []span // since the last sync
	attr     []byte
	syncAttr []byte
	mode     fs.FileMode
	modified time.Time
}

// span is one write. One that a failed sync covered is doomed: no later sync
// will bring it to the disk, as with the page cache of a real system.
type span struct {
	from, to int
	before   []byte // what it was written over
	doomed   bool
}

// memChange is one atomic change of directory entries: a create, a remove
// (to is nil) or a rename.
type memChange struct {
	node             *memNode
	from, to         *memNode // directories; nil: none
	fromBase, toBase string
}

// NewMemDisk returns an empty disk without a limit.
func NewMemDisk() *MemDisk {
	return &MemDisk{root: newMemDir(), capacity: math.MaxInt64}
}

func newMemDir() *memNode {
	return &memNode{entries: map[string]*memNode{}, durable: map[string]*memNode{}, mode: fs.ModeDir | 0o700}
}

// SetCapacity limits the bytes of all files together.
func (d *MemDisk) SetCapacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// SetFault has f called before every operation with its kind and path. If f
// returns an error the operation fails with it, without effect but for a
// write, of which half is done, and a sync, after which the data it was to
// save can no longer be saved. f must not use the disk. Nil ends that.
func (d *MemDisk) SetFault(f func(op Op, path string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// SetLatency has every read, write, sync and commit take so long.
func (d *MemDisk) SetLatency(latency time.Duration) { d.latency.Store(int64(latency)) }

// Hang has every read, write, sync and commit wait until release is called.
func (d *MemDisk) Hang() (release func()) {
	until := make(chan struct{})
	d.hanging.Store(&until)
	return sync.OnceFunc(func() {
		d.hanging.Store(nil)
		close(until)
	})
}

// linger waits for as long as the disk takes. d.mu is not held.
func (d *MemDisk) linger() {
	if until := d.hanging.Load(); until != nil {
		<-*until
	}
	if latency := d.latency.Load(); latency > 0 {
		time.Sleep(time.Duration(latency))
	}
}

// Damage flips a bit of the byte at off of a file.
func (d *MemDisk) Damage(path string, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("damage", path)
	if err != nil {
		return err
	}
	if off < 0 || off >= int64(len(n.data)) {
		return fmt.Errorf("damage %s: no byte %d", path, off)
	}
	n.data = slices.Clone(n.data)
	n.data[off] ^= 1
	return nil
}

// Take removes a file as another program would, behind the store's back.
func (d *MemDisk) Take(path string) error { return d.remove(path) }

func (d *MemDisk) lock() (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder != nil {
		return nil, ErrLocked
	}
	me := new(int)
	d.holder = me
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.holder == me { // a power loss may have taken it
			d.holder = nil
		}
	}, nil
}

// check asks the fault hook. d.mu is held.
func (d *MemDisk) check(op Op, path string) error {
	if d.fault == nil {
		return nil
	}
	if err := d.fault(op, path); err != nil {
		return &fs.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}

// dir finds the directory that holds p, and the name of p in it.
func (d *MemDisk) dir(op, p string) (*memNode, string, error) {
	dirs := strings.Split(path.Clean(p), "/")
	base := dirs[len(dirs)-1]
	n := d.root
	for _, name := range dirs[:len(dirs)-1] {
		if n = n.entries[name]; n == nil || n.entries == nil {
			return nil, "", &fs.PathError{Op: op, Path: p, Err: fs.ErrNotExist}
		}
	}
	if d.folds {
		for name := range n.entries {
			if strings.EqualFold(name, base) {
				return n, name, nil
			}
		}
	}
	return n, base, nil
}

// node finds p itself.
func (d *MemDisk) node(op, p string) (*memNode, error) {
	if p == "." {
		return d.root, nil
	}
	dir, base, err := d.dir(op, p)
	if err != nil {
		return nil, err
	}
	n := dir.entries[base]
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: p, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (d *MemDisk) open(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("open", path)
	if err != nil {
		return nil, err
	}
	if n.entries != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	return &memFile{disk: d, node: n, path: path, life: d.life}, nil
}

func (d *MemDisk) create(path string) (file, error) {
	n := &memNode{mode: 0o600, modified: time.Now()}
	if err := d.add(OpCreate, path, n); err != nil {
		return nil, err
	}
	return &memFile{disk: d, node: n, path: path, life: d.life}, nil
}

// What is edited takes none of the disk's capacity, as the table does not.
func (d *MemDisk) edit(path string) (editable, error) {
	n := &memNode{mode: 0o600, modified: time.Now(), free: true}
	if err := d.add(OpCreate, path, n); err == nil {
		return &memFile{disk: d, node: n, path: path, life: d.life}, nil
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("edit", path)
	if err != nil {
		return nil, err
	}
	return &memFile{disk: d, node: n, path: path, life: d.life}, nil
}

func (d *MemDisk) mkdir(path string) error {
	err := d.add(OpMkdir, path, newMemDir())
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (d *MemDisk) add(op Op, path string, n *memNode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.dir(string(op), path)
	if err != nil {
		return err
	}
	if dir.entries[base] != nil {
		return &fs.PathError{Op: string(op), Path: path, Err: fs.ErrExist}
	}
	if err := d.check(op, path); err != nil {
		return err
	}
	d.change(&memChange{node: n, to: dir, toBase: base})
	return nil
}

// takes returns how much of the capacity n takes.
func (n *memNode) takes() int64 {
	if n.free {
		return 0
	}
	return int64(len(n.data))
}

// change makes c visible and leaves it to a sync to make it durable.
func (d *MemDisk) change(c *memChange) {
	if c.from != nil {
		delete(c.from.entries, c.fromBase)
	}
	if c.to != nil {
		if old := c.to.entries[c.toBase]; old != nil {
			d.used -= old.takes()
		}
		c.to.entries[c.toBase] = c.node
	} else {
		d.used -= c.node.takes()
	}
	d.pending = append(d.pending, c)
}

func (d *MemDisk) list(dir string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("list", dir)
	if err != nil {
		return nil, err
	}
	var out []fs.DirEntry
	for name, child := range n.entries {
		out = append(out, fs.FileInfoToDirEntry(child.info(name)))
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

func (d *MemDisk) stat(p string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("stat", p)
	if err != nil {
		return nil, err
	}
	return n.info(path.Base(p)), nil
}

func (d *MemDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("rename", from)
	if err != nil {
		return err
	}
	fromDir, fromBase, _ := d.dir("rename", from)
	toDir, toBase, err := d.dir("rename", to)
	if err != nil {
		return err
	}
	if err := d.check(OpRename, to); err != nil {
		return err
	}
	d.change(&memChange{node: n, from: fromDir, fromBase: fromBase, to: toDir, toBase: toBase})
	return nil
}

func (d *MemDisk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("remove", path)
	if err != nil {
		return err
	}
	if len(n.entries) > 0 {
		return &fs.PathError{Op: "remove", Path: path, Err: errors.New("directory not empty")}
	}
	if err := d.check(OpRemove, path); err != nil {
		return err
	}
	dir, base, _ := d.dir("remove", path)
	d.change(&memChange{node: n, from: dir, fromBase: base})
	return nil
}

func (d *MemDisk) touch(path string, mode fs.FileMode, modified time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("touch", path)
	if err != nil {
		return err
	}
	n.mode = n.mode.Type() | mode.Perm()
	if !modified.IsZero() {
		n.modified = modified
	}
	return nil
}

func (d *MemDisk) install(_ string, files []*placing) { installEach(d, files) }

func (d *MemDisk) readAll(path string, size int64) ([]byte, error) { return readAllEach(d, path, size) }

func (d *MemDisk) flush(files []string) error { return flushEach(d, files) }

func (d *MemDisk) free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(0, d.capacity-d.used), nil
}

// A MemDisk's table takes none of its capacity, so there is nothing to set aside.
func (d *MemDisk) setAside() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.used >= d.capacity {
		return fmt.Errorf("set space aside: %w", ErrNoSpace)
	}
	return nil
}

func (d *MemDisk) giveBack() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.check(OpRemove, reserveFile)
}

func (d *MemDisk) path(path string) string { return path }

// memInfo is what a memNode looked like.
type memInfo struct {
	name     string
	bytes    int64
	mode     fs.FileMode
	modified time.Time
}

func (n *memNode) info(name string) memInfo {
	return memInfo{name, int64(len(n.data)), n.mode, n.modified}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.bytes }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
