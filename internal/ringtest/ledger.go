package ringtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/node"
)

// ledger is what the ring has acknowledged: a name's content, nil for a name
// that was deleted.
type ledger struct {
	mu      sync.Mutex
	content map[string][]byte
}

// Acknowledged notes that a name has a content now; nil: that it was deleted.
func (r *Ring) Acknowledged(name string, content []byte) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.ledger.content[name] = content
}

// Forget takes a name out of the ledger: its content is not certain any more.
func (r *Ring) Forget(name string) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	delete(r.ledger.content, name)
}

// acknowledged is a copy of the ledger.
func (r *Ring) acknowledged() map[string][]byte {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return maps.Clone(r.ledger.content)
}

// Store stores content through a member and notes it. It must succeed. For every
// other name the length is announced, which matters for small content.
func (r *Ring) Store(m *Member, name string, content []byte, o node.StoreOptions) node.StoreResult {
	r.t.Helper()
	if content == nil {
		content = []byte{}
	}
	if o.Size == 0 && crc32.ChecksumIEEE([]byte(name))%2 == 0 { // as most clients do
		o.Size, o.Empty = int64(len(content)), len(content) == 0
	}
	got, err := m.Store(r.t.Context(), name, bytes.NewReader(content), o)
	require.NoError(r.t, err)
	r.Acknowledged(name, content)
	return got
}

// storeTries is how often StoreAgain tries, as a client does.
const storeTries = 5

// StoreAgain is Store that tries again as long as it is told to, with the same
// operation ID.
func (r *Ring) StoreAgain(m *Member, name string, content []byte, o node.StoreOptions) node.StoreResult {
	r.t.Helper()
	o.Op = node.NewOp()
	for range storeTries {
		_, err := m.Store(r.t.Context(), name, bytes.NewReader(content), o)
		if !errors.Is(err, node.ErrInterrupted) && !errors.Is(err, node.ErrUnavailable) && !errors.Is(err, node.ErrOutcome) {
			break
		}
		time.Sleep(time.Second)
	}
	return r.Store(m, name, content, o)
}

// StoreMany stores so many small files with numbered names through the members
// that run, in turn.
func (r *Ring) StoreMany(count int) []string {
	r.t.Helper()
	up := r.Up()
	var names []string
	for i := range count {
		name := fmt.Sprintf("files/%04d", i)
		r.Store(up[i%len(up)], name, []byte("content of "+name), node.StoreOptions{})
		names = append(names, name)
	}
	return names
}

// Delete deletes a name through a member and notes it. It must succeed.
func (r *Ring) Delete(m *Member, name string) {
	r.t.Helper()
	require.NoError(r.t, m.Delete(r.t.Context(), name, filestore.OpID{}, 0))
	r.Acknowledged(name, nil)
}

// Fetch returns a file's bytes and what is known of it. Half of the names are fetched
// as one of many.
func Fetch(ctx context.Context, m *Member, name string, o node.FetchOptions) ([]byte, node.File, error) {
	if crc32.ChecksumIEEE([]byte(name))%4 < 2 {
		f, err := m.Fetch(ctx, name, o)
		if err != nil {
			return nil, node.File{}, err
		}
		return readAll(f)
	}
	all := FetchMany(ctx, m, []string{name, name}, o)
	return all[0].Content, all[0].File, all[0].Err
}

// Fetched is one file of FetchMany.
type Fetched struct {
	Content []byte
	File    node.File
	Err     error
}

// FetchMany fetches many files by one call.
func FetchMany(ctx context.Context, m *Member, names []string, o node.FetchOptions) []Fetched {
	all := make([]Fetched, len(names))
	m.FetchMany(ctx, names, o, 64<<10, func(i int, f *node.Fetched, err error) {
		if all[i].Err = err; err == nil {
			all[i].File = f.File()
			all[i].Content, all[i].Err = f.ReadAll()
			all[i].Err = errors.Join(all[i].Err, f.Close())
		}
	})
	return all
}

// readAll reads a fetch to its end.
func readAll(f *node.Fetched) ([]byte, node.File, error) {
	var b bytes.Buffer
	_, err := f.WriteTo(&b)
	return b.Bytes(), f.File(), errors.Join(err, f.Close())
}

// Holders are the members that hold a name's newest version durably and vote on
// it, as one of them reports it.
func (r *Ring) Holders(by *Member, name string) []*Member {
	r.t.Helper()
	f, err := by.Stat(r.t.Context(), name)
	require.NoError(r.t, err)
	var l []*Member
	for _, h := range f.Holders {
		if h.Voter && h.State == node.Durable {
			l = append(l, r.Member(h.Machine))
		}
	}
	return l
}

// Whole fails the test unless the ring becomes whole within limit: every name of
// the ledger that is stored is confirmed and has all copies that the ring wants.
func (r *Ring) Whole(limit time.Duration) {
	r.t.Helper()
	lack := ""
	r.within(limit, func() bool {
		lack = r.Lacks()
		return lack == ""
	}, func() string { return "the ring is whole: " + lack })
}

// Lacks says what the ring lacks to be whole; nothing if it is.
func (r *Ring) Lacks() string {
	by := r.Up()[0]
	for name, content := range r.acknowledged() {
		if content == nil {
			continue
		}
		f, err := by.Stat(r.t.Context(), name)
		switch {
		case err != nil:
			return err.Error()
		case !f.Confirmed:
			return name + " is not confirmed"
		case f.Want < min(cmp.Or(r.opts.N, 3), len(r.Up())):
			return fmt.Sprintf("%s has only %d voters", name, f.Want)
		}
		for _, h := range f.Holders {
			if h.Voter && h.State != node.Durable {
				return fmt.Sprintf("%s is %s at %s", name, h.State, h.Label)
			}
		}
	}
	return ""
}

// checkEvery is how many names a ledger has at most that every member is asked for;
// of others, and under the race detector, each name is asked for once.
const checkEvery = 40

// Check fails the test unless every member that runs gives out every name as
// the ring acknowledged it, confirmed, and no temporary file is left over.
// Members that do not run are not looked at. Content that was staged for a
// change that never came is given the time it is kept.
func (r *Ring) Check() {
	r.t.Helper()
	r.checkLedger()
	for waited := time.Duration(0); len(r.leftovers()) > 0 && waited < 15*time.Minute; waited += time.Minute {
		time.Sleep(time.Minute)
	}
	assert.Empty(r.t, r.leftovers(), "temporary files")
}

func (r *Ring) leftovers() []string {
	var l []string
	for _, m := range r.Up() {
		l = append(l, m.Disk.Leftovers()...)
	}
	return l
}

func (r *Ring) checkLedger() {
	r.t.Helper()
	up := r.Up()
	want := r.acknowledged()
	for i, name := range slices.Sorted(maps.Keys(want)) {
		for k, m := range up {
			if len(want) <= checkEvery && !bubble.RaceDetector || i%len(up) == k {
				r.CheckName(m, name, want[name])
			}
		}
	}
}

// CheckName fails the test unless a member gives out a name with these bytes,
// confirmed; nil: unless it says that there is none.
func (r *Ring) CheckName(m *Member, name string, want []byte) {
	r.t.Helper()
	got, f, err := Fetch(r.t.Context(), m, name, node.FetchOptions{})
	if want == nil {
		assert.ErrorIs(r.t, err, node.ErrNotFound, "%s at %s", name, m.Host)
		return
	}
	if assert.NoError(r.t, err, "%s at %s", name, m.Host) {
		assert.True(r.t, f.Confirmed, "%s at %s is not confirmed", name, m.Host)
		assert.True(r.t, bytes.Equal(want, got), "%s at %s has other bytes", name, m.Host)
	}
}
