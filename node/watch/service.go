package watch

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// Config says what a Service is made of. Node, Self and Dir are needed.
type Config struct {
	Node Node
	Self node.MachineID // what the node publishes as
	// Dir is where the list of folders and what they have published is kept;
	// made if missing.
	Dir string
	// Own are the node's own directories, which are not watched, nor anything
	// that they are in.
	Own []string
	// Private reports whether a directory is the home of some node, with its
	// keys. Nil: none is.
	Private func(dir string) bool
	// Logger gets what is news. Nil: nothing is logged.
	Logger *slog.Logger
}

// Service watches folders. Its methods may be called concurrently.
type Service struct {
	cfg     Config
	slots   *semaphore.Weighted
	catalog *catalog

	added   chan struct{}  // there is something to start
	hook    func(*watcher) // of tests, before a watcher runs; nil otherwise
	mu      sync.Mutex
	entries []*entry // in the order in which they were added
}

// entry is a folder and who watches it.
type entry struct {
	folder  Folder
	watcher *watcher // nil while it is not watched
	cancel  context.CancelFunc
	ended   chan struct{} // closed when the watcher has ended
}

// New reads which folders are to be watched; it starts nothing. A list that
// cannot be read is an error, since watching nothing would look like peace.
func New(c Config) (*Service, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Private == nil {
		c.Private = func(string) bool { return false }
	}
	s := &Service{cfg: c, slots: semaphore.NewWeighted(maxSmall), catalog: newCatalog(), added: make(chan struct{}, 1)}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	folders, err := loadList(s.listPath())
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		s.entries = append(s.entries, &entry{folder: f})
	}
	return s, nil
}

// Run watches all folders until ctx ends, and returns when everything that it
// started has ended. It is called once.
func (s *Service) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		s.mu.Lock()
		for _, e := range s.entries {
			if e.watcher == nil {
				s.start(ctx, e, &running)
			}
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-s.added:
		}
	}
}

// start begins to watch a folder; the caller holds the lock.
func (s *Service) start(ctx context.Context, e *entry, running *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(ctx)
	w := s.newWatcher(e.folder)
	e.watcher, e.cancel, e.ended = w, cancel, make(chan struct{})
	running.Go(func() {
		defer close(e.ended)
		defer cancel()
		if s.hook != nil {
			s.hook(w)
		}
		w.load(s.statePath(&w.folder))
		w.run(ctx)
	})
}

func (s *Service) newWatcher(f Folder) *watcher {
	log := s.cfg.Logger
	w := &watcher{
		folder: f, log: log, turn: newTurn(s.slots), faults: newFaults(), results: make(chan result),
		machine: newMachine(usualPace(), f.OnDelete == Remove, node.NewOp),
		publish: &publisher{node: s.cfg.Node, self: s.cfg.Self, folder: f, catalog: s.catalog, private: s.cfg.Private, disk: diskOf},
	}
	base, _ := baseRules(f.Exclude) // validate has seen them
	w.look = &look{
		dir: f.Dir, log: log, listen: listen, remote: remoteSystem, disk: diskOf, machine: w.machine, faults: w.faults, note: w.note,
		state: Starting, touched: map[string]bool{},
	}
	w.look.tree = &tree{
		root: f.Dir, base: base, private: s.cfg.Private, disk: diskOf, events: events{notifier: deaf{}}, machine: w.machine,
		note: w.note, well: w.faults.clearPath, unheard: w.look.unheard, dirs: map[string]*dir{}, places: map[place]string{},
	}
	w.status.Store(&Status{Folder: f, State: Starting})
	return w
}

// load brings back what is remembered of a folder.
func (w *watcher) load(path string) {
	j, entries, damaged, err := openJournal(path, hex.EncodeToString(w.publish.self[:]), &w.folder)
	w.journal = j
	if err != nil {
		w.written(err)
	}
	if damaged > 0 {
		w.log.Warn("some of what a watched folder had published is not remembered and will be read again", "folder", w.folder.Dir, "lines", damaged)
	}
	w.look.at = ground{place{inode: j.head.Root}, j.head.Disk}
	for path, e := range entries {
		w.machine.restore(path, e)
		w.publish.catalog.set(w.folder.name(path), e)
	}
}

// Add begins to watch a folder, now and whenever Run runs, and returns it as it
// is watched. The errors are ErrNoFolder, ErrOverlap and ErrOption.
func (s *Service) Add(f Folder) (Folder, error) {
	if err := f.settle(); err != nil {
		return f, err
	}
	if err := s.mayWatch(f.Dir); err != nil {
		return f, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if err := f.clash(&e.folder); err != nil {
			return f, err
		}
	}
	e := &entry{folder: f}
	if err := saveList(s.listPath(), append(slices.Clone(s.entries), e)); err != nil {
		return f, err
	}
	s.entries = append(s.entries, e)
	select {
	case s.added <- struct{}{}:
	default:
	}
	return f, nil
}

// mayWatch refuses the homes of nodes, what is in them, and what they are in.
func (s *Service) mayWatch(dir string) error {
	for _, own := range s.cfg.Own {
		if resolved, err := filepath.EvalSymlinks(own); err == nil {
			own = resolved
		}
		if within(dir, own) || within(own, dir) {
			return fmt.Errorf("%w: %s and the home of this node, %s, with its secret keys", ErrOverlap, dir, own)
		}
	}
	if home := homeAbove(s.cfg.Private, dir); home != "" {
		return fmt.Errorf("%w: %s is the home of a node, with its secret keys", ErrOverlap, home)
	}
	return nil
}

// Remove stops watching a folder, which may be gone, and returns how it was
// watched when nothing of that goes on any more. What it has published stays.
// The error is ErrUnknown.
func (s *Service) Remove(dir string) (Folder, error) {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.entries, func(e *entry) bool { return e.folder.Dir == filepath.Clean(dir) })
	if i < 0 {
		s.mu.Unlock()
		return Folder{}, fmt.Errorf("%w: %s", ErrUnknown, dir)
	}
	e := s.entries[i]
	rest := slices.Delete(slices.Clone(s.entries), i, i+1)
	if err := saveList(s.listPath(), rest); err != nil {
		s.mu.Unlock()
		return e.folder, err
	}
	s.entries = rest
	s.mu.Unlock()
	if e.watcher != nil {
		e.cancel()
		<-e.ended
		for path, t := range e.watcher.machine.tracks {
			if t.entry.Version != (filestore.OpID{}) {
				s.catalog.set(e.folder.name(path), Entry{})
			}
		}
	}
	_ = os.Remove(s.statePath(&e.folder))
	return e.folder, nil
}

// Status tells what each folder is up to, in the order in which they were added.
func (s *Service) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := make([]Status, 0, len(s.entries))
	for _, e := range s.entries {
		if e.watcher == nil {
			l = append(l, Status{Folder: e.folder, State: Starting})
			continue
		}
		l = append(l, *e.watcher.status.Load())
	}
	return l
}
