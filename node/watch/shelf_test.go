package watch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// Who publishes in these tests.
var self, stranger = node.MachineID{1}, node.MachineID{2}

// shelf is a ring of one node without a ring: names and what they stand for.
type shelf struct {
	mu      sync.Mutex
	files   map[string]filestore.Record
	content map[string][]byte
	events  []string            // what happened, in order
	seen    map[string][]string // all contents that a name ever had
	down    bool
	vacant  bool // nobody can tell what is stored
	sent    int64
	busy    chan struct{} // when not nil, stores wait for it once their content has come
}

func newShelf() *shelf {
	return &shelf{files: map[string]filestore.Record{}, content: map[string][]byte{}, seen: map[string][]string{}}
}

func (s *shelf) Look(_ context.Context, name string) (node.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := filestore.ValidateName(name); err != nil {
		return node.File{}, err
	}
	if s.down {
		return node.File{}, node.ErrUnavailable
	}
	if s.vacant {
		return node.File{}, node.ErrVacant
	}
	rec, there := s.files[name]
	if !there || rec.Deleted {
		return node.File{Record: rec}, node.ErrNotFound
	}
	return node.File{Record: rec, Confirmed: true}, nil
}

func (s *shelf) Store(ctx context.Context, name string, content io.Reader, o node.StoreOptions) (node.StoreResult, error) {
	raw, err := io.ReadAll(content)
	if err != nil {
		return node.StoreResult{}, err
	}
	if s.busy != nil {
		select {
		case <-s.busy:
		case <-ctx.Done():
			return node.StoreResult{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Size > 0 && int64(len(raw)) != o.Size {
		return node.StoreResult{}, node.ErrInterrupted
	}
	s.sent += int64(len(raw))
	return s.put("stored", self, name, raw, o)
}

func (s *shelf) Copy(_ context.Context, name string, from node.Source, o node.StoreOptions) (node.StoreResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec, there := s.files[from.Name]; !there || rec.Deleted || rec.Op != from.Version {
		return node.StoreResult{}, node.ErrNotFound
	}
	return s.put("copied", self, name, s.content[from.Name], o)
}

// put stores a content; the caller holds the lock.
func (s *shelf) put(verb string, by node.MachineID, name string, raw []byte, o node.StoreOptions) (node.StoreResult, error) {
	if s.down {
		return node.StoreResult{}, node.ErrUnavailable
	}
	old, there := s.files[name]
	there = there && !old.Deleted
	sum := filestore.Hash(sha256.Sum256(raw))
	switch {
	case there && old.SHA256 == sum:
		return node.StoreResult{Record: old, Action: node.Identical}, nil
	case there && o.IfExists != node.Replace && (o.IfExists != node.Update || o.Version != old.Op):
		return node.StoreResult{}, &node.ExistsError{Record: old}
	}
	op := o.Op
	if op == (filestore.OpID{}) {
		op = node.NewOp()
	}
	rec := filestore.Record{Name: name, Op: op, Size: int64(len(raw)), SHA256: sum, Publisher: by, Changes: old.Changes + 1}
	s.files[name], s.content[name] = rec, raw
	s.seen[name] = append(s.seen[name], string(raw))
	s.events = append(s.events, verb+" "+name)
	return node.StoreResult{Record: rec, Action: node.Stored}, nil
}

func (s *shelf) DeleteVersion(_ context.Context, name string, version, _ filestore.OpID, _ uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, there := s.files[name]
	switch {
	case s.down:
		return node.ErrUnavailable
	case !there || rec.Deleted:
		return node.ErrNotFound
	case rec.Op != version:
		return &node.ExistsError{Record: rec}
	}
	s.files[name] = filestore.Record{Name: name, Deleted: true, Changes: rec.Changes + 1}
	delete(s.content, name)
	s.events = append(s.events, "removed "+name)
	return nil
}

// by has another node store something.
func (s *shelf) by(who node.MachineID, name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.put("put", who, name, []byte(text), node.StoreOptions{IfExists: node.Replace})
}

func (s *shelf) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// has is what is stored now.
func (s *shelf) has() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[string]string{}
	for name, raw := range s.content {
		now[name] = string(raw)
	}
	return now
}

func (s *shelf) happened() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// stage is a folder that is watched, on a real file system.
type stage struct {
	t     *testing.T
	dir   string // the folder
	state string // of the service
	shelf *shelf
	conf  Folder
	hook  func(*watcher)
	// private says what the home of a node is
	private func(dir string) bool

	service *Service
	stop    func()
	logged  *safeBuffer
}

// safeBuffer is a log that may be read meanwhile.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newStage makes a folder that is not watched yet.
func newStage(t *testing.T, conf Folder) *stage {
	t.Helper()
	s := &stage{t: t, dir: filepath.Join(t.TempDir(), "folder"), state: t.TempDir(), shelf: newShelf(), conf: conf, logged: &safeBuffer{}}
	s.private = func(dir string) bool { return filepath.Base(dir) == "a home" }
	require.NoError(t, os.Mkdir(s.dir, 0o700))
	s.conf.Dir = s.dir
	t.Cleanup(func() {
		if s.stop != nil {
			s.stop()
		}
		if t.Failed() {
			t.Logf("what happened: %.2000q\n%.4000s", s.shelf.happened(), s.logged)
		}
	})
	return s
}

// start begins to watch.
func (s *stage) start() {
	s.t.Helper()
	var err error
	s.service, err = New(Config{
		Node: s.shelf, Self: self, Dir: s.state,
		Private: s.private,
		Logger:  slog.New(slog.NewTextHandler(s.logged, nil)),
	})
	require.NoError(s.t, err)
	s.service.hook = func(w *watcher) {
		w.machine.pace = pace{still: 400 * time.Millisecond, gone: 800 * time.Millisecond, tick: 50 * time.Millisecond, poll: 300 * time.Millisecond, beat: time.Second}
		if s.hook != nil {
			s.hook(w)
		}
	}
	if len(s.service.Status()) == 0 {
		_, err = s.service.Add(s.conf)
		require.NoError(s.t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.service.Run(ctx) }()
	s.stop = func() {
		cancel()
		assert.NoError(s.t, <-ended)
		s.stop = nil
	}
}

// restart stops watching, lets f do something, and begins again.
func (s *stage) restart(f func()) {
	s.t.Helper()
	s.stop()
	f()
	s.start()
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// write writes a file as most programs do.
func (s *stage) write(name, text string) {
	s.t.Helper()
	require.NoError(s.t, os.MkdirAll(filepath.Dir(s.path(name)), 0o700))
	require.NoError(s.t, os.WriteFile(s.path(name), []byte(text), 0o600))
}

func (s *stage) rename(from, to string) {
	s.t.Helper()
	require.NoError(s.t, os.Rename(s.path(from), s.path(to)))
}

func (s *stage) status() Status { return s.service.Status()[0] }

// settles waits until everything is done and the ring has just what is wanted.
func (s *stage) settles(want map[string]string) {
	s.t.Helper()
	s.until(func() string {
		if got := s.shelf.has(); !maps.Equal(got, want) {
			return fmt.Sprintf("the ring has %.500q instead of %.500q", got, want)
		}
		if now := s.status(); now.Waiting > 0 || now.State == Starting {
			return fmt.Sprintf("%d files wait", now.Waiting)
		}
		return ""
	})
}

// until waits until f has nothing to say.
func (s *stage) until(f func() string) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		trouble := f()
		if trouble == "" {
			return
		}
		require.True(s.t, time.Now().Before(deadline), trouble)
		<-tick.C
	}
}

// fault waits for a fault of a kind.
func (s *stage) fault(kind Kind) (f Fault) {
	s.t.Helper()
	s.until(func() string {
		for _, f = range s.status().Faults {
			if f.Kind == kind {
				return ""
			}
		}
		return "there is no fault " + string(kind)
	})
	return f
}
