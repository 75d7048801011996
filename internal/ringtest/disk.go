package ringtest

import (
	"errors"
	"io/fs"
	"math"
	"path"
	"strings"
	"sync"

	"github.com/dhtfs/dhtfs/filestore"
)

// Disk is a member's disk. It remembers the temporary files that were made on
// it, so that those left over can be told.
type Disk struct {
	*filestore.MemDisk

	mu     sync.Mutex
	staged []string
	fault  func(filestore.Op, string) error
}

func newDisk() *Disk {
	d := &Disk{MemDisk: filestore.NewMemDisk()}
	d.MemDisk.SetFault(d.note)
	return d
}

// SetFault is MemDisk.SetFault, with notes taken all the same.
func (d *Disk) SetFault(f func(filestore.Op, string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

func (d *Disk) note(op filestore.Op, p string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op == filestore.OpCreate && strings.HasPrefix(path.Base(p), ".dhtfs-") {
		d.staged = append(d.staged, p)
	}
	if d.fault == nil {
		return nil
	}
	return d.fault(op, p)
}

// Leftovers are the temporary files there are, of content and of hash lists.
func (d *Disk) Leftovers() []string {
	d.mu.Lock()
	made := d.staged
	d.mu.Unlock()
	var l []string
	for _, p := range made {
		if d.has(p) {
			l = append(l, p)
		}
	}
	return l
}

// has reports whether there is a file: one that is not there cannot be damaged,
// and no file has the byte that is asked for.
func (d *Disk) has(p string) bool {
	return !errors.Is(d.Damage(p, math.MaxInt64), fs.ErrNotExist)
}

// pathOf is where a member with one position keeps a name's visible content.
func (m *Member) pathOf(name string) string {
	return path.Join("files", m.Membership.Positions()[0].String(), filestore.Escape(name))
}

// Has reports whether the member's disk has a visible file for a name.
func (m *Member) Has(name string) bool { return m.Disk.has(m.pathOf(name)) }

// Rot flips a bit of a name's visible content on the member's disk.
func (m *Member) Rot(name string, at int64) error { return m.Disk.Damage(m.pathOf(name), at) }

// Take removes a name's visible content from the member's disk.
func (m *Member) Take(name string) error { return m.Disk.Take(m.pathOf(name)) }

// Staged counts the copies of contents that were ever begun.
func (d *Disk) Staged() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, p := range d.staged {
		if strings.Count(p, "/") == 2 && !strings.HasPrefix(p, "files/.chunks/") {
			n++
		}
	}
	return n
}
