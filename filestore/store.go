package filestore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"sync"
	"time"
)

// Options say where a Store lives and how far it may fill the disk.
type Options struct {
	// Dir is the directory, made if missing. Not used with Disk.
	Dir string
	// Disk replaces the directory; nil is OSDisk(Dir).
	Disk Disk
	// Positions are the node's own places on the ring, at least one. Each has
	// a directory; a file is in that of the first at or after its key.
	Positions [][20]byte
	// Capacity limits the bytes of content; zero is no limit.
	Capacity int64
	// MinFree is how many bytes of the disk are left free, so that deletes
	// and records can still be written when no content fits; zero is none.
	MinFree int64
	// Small is up to which size content is made durable together with its register
	// and gets a durable file later, see Flush: for many small files that is many
	// times faster. Zero: all content has a durable file before it is accepted.
	Small int64
	// OnDamage is called with the name of content that was found damaged or gone
	// and is held no more. It must not block nor use the Store; nil: nobody is told.
	OnDamage func(name string)
	// Seed makes Fingerprints differ from those of stores with another one.
	Seed [32]byte
	// OnDegraded is called once, when the Store becomes degraded, on the terms of
	// OnDamage.
	OnDegraded func()
	// Now is this machine's clock; nil is time.Now. It says where the ballots of a new
	// table begin, and the Since of entries.
	Now func() time.Time
	// Logger gets what nobody is told otherwise; nil discards it.
	Logger *slog.Logger
}

// Store is one node's files and registers. All methods may be called
// concurrently.
type Store struct {
	disk      Disk
	unlock    func()
	now       func() time.Time
	log       *slog.Logger
	positions [][20]byte // sorted
	capacity  int64
	minFree   int64
	small     int64
	onDamage  func(name string)
	onDegrade func()

	tab      *journal
	decoded  decoded
	commits  *batcher[[]write]
	flushes  *batcher[struct{}]
	installs *batcher[[]*placing]
	syncs    map[string]*batcher[struct{}] // of directories
	gates    gates                         // by visible path
	counter  counter
	seed     [32]byte
	sums     sums // of all registers
	rebuilt  bool
	hasAttrs bool
	folds    bool // the file system takes some different names for one

	inflight sync.WaitGroup // operations between begin and end

	mu       sync.Mutex
	closed   bool
	degraded error
	doubt    map[string]bool     // table keys whose last commit failed
	damaged  map[string]bool     // entry.File of damaged content the table still calls held
	sealed   map[string][]*Stage // by name: durable, not accepted yet
	lists    map[Hash]int        // how many contents here use a hash list
	space    space
	// small content: staged in memory, and by entry.File in the journal
	smallStaged int64
	unflushed   map[string]*unflushed
	flushDue    chan struct{} // capacity 1
	spent       bool          // nothing is set aside for the table
}

// Open opens the store, alone: ErrLocked if another process or Store has it.
// It finishes what a crash interrupted: accepted content gets its visible
// name, what was staged and not accepted is removed, and a visible file that
// no register names is moved to the quarantine directory. A table that is
// lost or damaged is rebuilt, see Rebuilt.
func Open(o Options) (*Store, error) {
	if len(o.Positions) == 0 {
		return nil, errors.New("open store: no positions")
	}
	disk := o.Disk
	if disk == nil {
		disk = OSDisk(o.Dir)
	}
	s := &Store{
		disk: disk, now: o.Now, log: o.Logger, capacity: o.Capacity, minFree: o.MinFree, seed: o.Seed, small: min(o.Small, ChunkSize),
		onDamage:  o.OnDamage,
		onDegrade: o.OnDegraded,
		positions: slices.Clone(o.Positions),
		syncs:     map[string]*batcher[struct{}]{},
		counter:   newCounter(),
		doubt:     map[string]bool{},
		damaged:   map[string]bool{},
		sealed:    map[string][]*Stage{},
		lists:     map[Hash]int{},
		unflushed: map[string]*unflushed{},
		flushDue:  make(chan struct{}, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	slices.SortFunc(s.positions, func(a, b [20]byte) int { return bytes.Compare(a[:], b[:]) })
	if s.onDamage == nil {
		s.onDamage = func(string) {}
	}
	if s.onDegrade == nil {
		s.onDegrade = func() {}
	}
	s.commits = newBatcher(s.runCommits)
	s.installs = newBatcher(s.runInstalls)
	s.flushes = newBatcher(func([]struct{}) error { return s.flush() })

	var err error
	if s.unlock, err = disk.lock(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.spent = true // until it is known to be there
	if err := s.recover(); err != nil {
		if s.tab != nil {
			err = errors.Join(err, s.tab.close())
		}
		s.unlock()
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.setAside(); err != nil {
		s.log.Warn("cannot set space aside for registers", "err", err)
	}
	return s, nil
}

// Close waits for the operations under way and gives the directory free.
// Stages that were not accepted are swept by the next Open; open Contents can
// still be read. ErrDegraded if the disk does not answer: the directory stays
// locked until the process ends.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	if !s.settled() {
		return fmt.Errorf("close store: %w: %w", ErrDegraded, errHang)
	}
	if err := s.flush(); err != nil {
		s.log.Warn("the journal is not brought into the table; the next start does it", "err", err)
	}
	if !s.settled() { // the flush
		return fmt.Errorf("close store: %w: %w", ErrDegraded, errHang)
	}
	err := s.tab.close()
	s.unlock()
	return err
}

// begin admits an operation; end must follow unless it returned an error.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.inflight.Add(1)
	return nil
}

// beginWrite admits an operation that writes.
func (s *Store) beginWrite() error {
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.Degraded(); err != nil {
		s.end()
		return err
	}
	return nil
}

func (s *Store) end() { s.inflight.Done() }

// Rebuilt reports whether the table was once found lost or too damaged and made
// anew from the extended attributes of the files, and Trust has not been called
// since. Promises, tombstones, names without content and Meta values were then
// gone, and what is there may be older than what was accepted last.
func (s *Store) Rebuilt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rebuilt
}

// Trust ends what Rebuilt reports, durably: the registers have been compared
// with those of other nodes.
func (s *Store) Trust() error {
	if err := s.beginWrite(); err != nil {
		return fmt.Errorf("trust the table: %w", err)
	}
	defer s.end()
	if err := s.commit(write{key: keyRebuilt}); err != nil {
		return fmt.Errorf("trust the table: %w", err)
	}
	s.mu.Lock()
	s.rebuilt = false
	s.mu.Unlock()
	return nil
}

// XattrOK reports whether the file system keeps extended attributes. Where it
// does not, a lost table cannot be rebuilt.
func (s *Store) XattrOK() bool { return s.hasAttrs }

// Degraded returns nil, or an error that wraps ErrDegraded and the failure
// because of which this Store writes nothing more.
func (s *Store) Degraded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.degraded
}

// fail degrades the store if err, of something that writes or of the table,
// or of a disk that does not answer, says that they can not be relied on any more. It returns err, as ErrDegraded
// then: whoever asked is told from the first failure on that another node may do.
func (s *Store) fail(err error) error {
	if !errors.Is(err, errSync) && !errors.Is(err, errDamagedTable) && !errors.Is(err, errHang) && !isBroken(err) {
		return err
	}
	if !errors.Is(err, ErrDegraded) {
		err = fmt.Errorf("%w: %w", ErrDegraded, err)
	}
	s.mu.Lock()
	first := s.degraded == nil
	if first {
		s.degraded = err
	}
	s.mu.Unlock()
	if first {
		s.log.Error("the disk failed: nothing more is written", "err", err)
		s.onDegrade()
	}
	return err
}

// Path returns where the content of name is, or would be, for people; empty
// for a bad name.
func (s *Store) Path(name string) string {
	p, err := s.visible(name)
	if err != nil {
		return ""
	}
	return s.disk.path(p)
}

const (
	filesDir      = "files"
	listsDir      = "files/.chunks"
	quarantineDir = "quarantine"
)

// visible returns the path of name's content.
func (s *Store) visible(name string) (string, error) {
	if err := ValidateName(name); err != nil {
		return "", err
	}
	key := KeyOf(name)
	i, _ := slices.BinarySearchFunc(s.positions, key, func(p, k [20]byte) int { return bytes.Compare(p[:], k[:]) })
	return path.Join(positionDir(s.positions[i%len(s.positions)]), Escape(name)), nil
}

func positionDir(p [20]byte) string { return path.Join(filesDir, hex.EncodeToString(p[:])) }

// enter waits for the gate of a visible path. Where the file system takes
// different names for one, which ones is its secret, and all share a gate.
func (s *Store) enter(visible string) (leave func()) {
	if s.folds {
		visible = ""
	}
	return s.gates.enter(visible)
}

// syncDir makes the changes of a directory durable, together with those of
// whoever else asks meanwhile.
func (s *Store) syncDir(dir string) error {
	s.mu.Lock()
	b := s.syncs[dir]
	if b == nil {
		b = newBatcher(func([]struct{}) error { return s.runSync(dir) })
		s.syncs[dir] = b
	}
	s.mu.Unlock()
	return b.do(struct{}{})
}

func (s *Store) runSync(dir string) error {
	if err := s.Degraded(); err != nil {
		return err // also for those that queued before the sync that failed
	}
	if err := s.answered("sync", 0, func() error { return s.disk.syncDir(dir) }); err != nil {
		return s.fail(fmt.Errorf("sync directory %s: %w", dir, err))
	}
	return nil
}

// commit makes writes to the table durable, all or none.
func (s *Store) commit(w ...write) error {
	if err := s.commits.do(w); err != nil {
		return err
	}
	switch size, stuck := s.tab.size(); {
	case size >= flushNow && !stuck:
		if err := s.flushes.do(struct{}{}); err != nil {
			s.log.Warn("cannot bring the journal into the table", "err", err)
		}
	case size >= flushSoon:
		select {
		case s.flushDue <- struct{}{}:
		default:
		}
	}
	return nil
}

// runCommits makes the writes of several commits durable, all or none.
func (s *Store) runCommits(all [][]write) error { return s.runCommit(slices.Concat(all...)) }

// runCommit makes writes durable, all or none.
func (s *Store) runCommit(writes []write) error {
	if err := s.Degraded(); err != nil {
		return err
	}
	err := s.answered("commit", 0, func() error { return s.apply(writes) })
	if err == nil || errors.Is(err, ErrNoSpace) {
		return err
	}
	s.mu.Lock()
	for _, w := range writes {
		s.doubt[string(w.key)] = true
	}
	s.mu.Unlock()
	return s.fail(fmt.Errorf("commit: %w: %w", errSync, err))
}

// load reads name's entry: an empty one when there is none, ErrDegraded when
// what the disk holds is unknown since a commit failed.
func (s *Store) load(name string) (*entry, error) {
	key := registerKey(name)
	value, err := s.tab.get(key)
	e := new(entry)
	if err == nil && value != nil {
		e, err = s.decoded.decode(key, value)
	}
	if err != nil {
		return nil, s.fail(fmt.Errorf("read register: %w", err))
	}
	return e, s.judge(key, e)
}

// judge corrects e by what is known beyond the table.
func (s *Store) judge(key []byte, e *entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubt[string(key)] {
		return s.degraded
	}
	if s.damaged[e.File] {
		e.Held = false
	}
	return nil
}
