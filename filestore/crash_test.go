package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// crashSeeds returns how many random workloads to try: DHTFS_SIM_SEEDS, or few,
// and fewer for the race detector.
func crashSeeds(t *testing.T) uint64 {
	if v := os.Getenv("DHTFS_SIM_SEEDS"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		require.NoError(t, err)
		return n
	}
	return uint64(bubble.Fewer(12))
}

var errPower = errors.New("power is off")

var crashPositions = [][20]byte{{1}, {128}}

// workload changes a store at random and remembers what it was told.
type workload struct {
	rng     *rand.Rand
	ballot  uint64
	acked   map[string]Register
	content map[Hash][]byte
	counter uint64
	meta    []byte

	// What was asked last and not answered: either may be found after a crash.
	trying     string
	tried      Register
	triedForgo bool
	triedMeta  []byte
}

func newWorkload(seed uint64) *workload {
	return &workload{
		rng:   rand.New(rand.NewPCG(seed, 1)),
		acked: map[string]Register{}, content: map[Hash][]byte{},
	}
}

// step does one random operation and returns its error.
func (w *workload) step(s *Store) error {
	name := string(rune('a' + w.rng.IntN(4)))
	switch k := w.rng.IntN(21); {
	case k == 20:
		return s.Flush()
	case k < 8:
		return w.put(s, name)
	case k < 11:
		return w.change(s, name, func(r *Register) {
			r.Record = &Record{Format: RecordFormat, Name: name, Deleted: true, DeletedAt: 1}
			r.Accepted, r.Held = r.Promised, false
		})
	case k < 14:
		return w.change(s, name, func(*Register) {})
	case k < 16:
		return w.drop(s, name)
	case k < 17:
		return w.forget(s, name)
	case k < 19:
		c, err := s.NextCounter(0)
		if err == nil && c <= w.counter {
			return fmt.Errorf("counter %d after %d", c, w.counter)
		}
		w.counter = max(w.counter, c)
		return err
	}
	w.triedMeta = fmt.Append(nil, w.rng.Uint64())
	err := s.SetMeta("m", w.triedMeta)
	if err == nil {
		w.meta = w.triedMeta
	}
	return err
}

func (w *workload) put(s *Store, name string) error {
	size := w.rng.IntN(3000)
	if w.rng.IntN(8) == 0 {
		size += ChunkSize
	}
	data := content(byte(w.rng.Uint32()), size)
	rec := recordOf(name, data)
	rec.Changes = w.rng.Uint64()
	if w.acked[name].Record == nil && int64(size) <= s.small && w.rng.IntN(2) == 0 {
		return w.create(s, rec, data)
	}
	st, err := stage(s, rec, data)
	if err != nil {
		return err
	}
	defer st.Discard()
	w.content[rec.SHA256] = data
	return w.change(s, name, func(r *Register) {
		r.Record, r.Accepted, r.Held = &rec, r.Promised, true
	})
}

// create accepts content of a new name in one step.
func (w *workload) create(s *Store, rec Record, data []byte) error {
	w.ballot++
	w.trying, w.triedForgo = rec.Name, false
	w.content[rec.SHA256] = data
	err := s.Create([]Creation{{Name: rec.Name, Content: data, Decide: func(Register) (Register, error) {
		w.tried = Register{Promised: ballot(w.ballot), Accepted: ballot(w.ballot), Record: &rec, Held: true}
		return w.tried, nil
	}}})[0]
	if err == nil {
		w.acked[rec.Name] = w.tried
	}
	return err
}

// change promises a greater ballot and has f do the rest.
func (w *workload) change(s *Store, name string, f func(*Register)) error {
	w.ballot++
	w.trying, w.triedForgo = name, false
	got, err := s.Update(name, func(r Register) (Register, error) {
		r.Promised = ballot(w.ballot)
		f(&r)
		w.tried = r
		return r, nil
	})
	if err == nil {
		w.acked[name] = got
	}
	return err
}

func (w *workload) drop(s *Store, name string) error {
	r := w.acked[name]
	if !r.Held {
		return nil
	}
	w.trying, w.tried, w.triedForgo = name, r, false
	w.tried.Held = false
	err := s.Drop(name, r.Accepted)
	if err == nil {
		w.acked[name] = w.tried
	}
	return err
}

func (w *workload) forget(s *Store, name string) error {
	w.trying, w.tried, w.triedForgo = name, w.acked[name], true
	done, err := s.Forget(name, w.acked[name].Accepted)
	if err == nil {
		w.triedForgo = false
	}
	if done {
		delete(w.acked, name)
		w.tried = Register{}
	}
	return err
}

// check compares a store with what the workload was told.
func (w *workload) check(s *Store, d *MemDisk) error {
	if s.Rebuilt() {
		return errors.New("the table was lost")
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		got, err := s.Register(name)
		if err != nil {
			return err
		}
		want := sameRegister(got, w.acked[name]) || name == w.trying &&
			(sameRegister(got, w.tried) || w.triedForgo && sameRegister(got, Register{}))
		if !want {
			return fmt.Errorf("register %s: have %+v, want %+v", name, got, w.acked[name])
		}
		if got.Held {
			data, err := read(s, name)
			if err != nil || !bytes.Equal(data, w.content[got.Record.SHA256]) {
				return fmt.Errorf("content of %s: %d bytes, %w", name, len(data), err)
			}
		}
		w.acked[name] = got
	}
	m, err := s.Meta("m")
	if err != nil || !bytes.Equal(m, w.meta) && !bytes.Equal(m, w.triedMeta) {
		return fmt.Errorf("meta: have %q, want %q: %w", m, w.meta, err)
	}
	w.meta = m
	return w.checkFiles(s, d)
}

// checkFiles makes sure that there is nothing but what registers hold.
func (w *workload) checkFiles(s *Store, d *MemDisk) error {
	held := map[string]bool{}
	lists := map[string]bool{}
	for e, err := range s.Registers([20]byte{}, [20]byte{}, Cursor{}) {
		if err != nil {
			return err
		}
		if e.Held {
			held[s.Path(e.Name)] = true
			lists[listPath(e.Record.Root)] = e.Record.Size > ChunkSize
		}
	}
	for _, dir := range []string{positionDir(crashPositions[0]), positionDir(crashPositions[1]), listsDir, quarantineDir} {
		entries, err := d.list(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if at := path.Join(dir, e.Name()); !held[at] && !lists[at] {
				return fmt.Errorf("left over: %s", at)
			}
			delete(held, path.Join(dir, e.Name()))
		}
	}
	if len(held) > 0 {
		return fmt.Errorf("missing: %v", held)
	}
	return nil
}

func sameRegister(a, b Register) bool {
	if a.Promised != b.Promised || a.Accepted != b.Accepted || a.Held != b.Held || (a.Record == nil) != (b.Record == nil) {
		return false
	}
	return a.Record == nil || a.Record.SHA256 == b.Record.SHA256 && a.Record.Deleted == b.Record.Deleted &&
		a.Record.Changes == b.Record.Changes
}

// crashRun does a seed's workload on a disk whose power goes at operation cut,
// cuts it again while that is recovered from, and checks what is left. It
// reports whether the power went at all.
func crashRun(seed, cut uint64, skip func(Op, string) bool) (bool, error) {
	d := NewMemDisk()
	d.skip = skip
	w := newWorkload(seed)
	rng := rand.New(rand.NewPCG(seed, cut))
	small := int64(seed%2) * 2000 // content in the journal, and not
	gone, err := powered(d, small, cut, func(s *Store) error {
		for range 14 {
			if err := w.step(s); err != nil {
				return err
			}
		}
		return w.check(s, d)
	})
	if err != nil {
		return gone, fmt.Errorf("before the crash: %w", err)
	}
	d.Crash(rng)
	if _, err := powered(d, small, rng.Uint64N(30), func(*Store) error { return nil }); err != nil {
		return gone, fmt.Errorf("while recovering: %w", err)
	}
	d.Crash(rng)
	_, err = powered(d, small, 1<<40, func(s *Store) error {
		if err := w.check(s, d); err != nil {
			return err
		}
		for range 3 {
			if err := w.step(s); err != nil {
				return err
			}
		}
		return w.check(s, d)
	})
	return gone, err
}

// powered opens the store and runs f until the power goes at operation cut.
// An error after that is nobody's fault.
func powered(d *MemDisk, small int64, cut uint64, f func(*Store) error) (gone bool, err error) {
	ops := uint64(0)
	d.SetFault(func(op Op, _ string) error {
		if op == OpRead {
			return nil
		}
		if ops++; ops > cut {
			gone = true
			return errPower
		}
		return nil
	})
	defer d.SetFault(nil)
	s, err := Open(Options{Disk: d, Positions: crashPositions, Small: small})
	if err == nil {
		err = f(s)
		err = errors.Join(err, s.Close())
	}
	if gone {
		err = nil
	}
	return gone, err
}

func TestCrashAtEveryOperation(t *testing.T) {
	runs := 0
	for seed := range crashSeeds(t) {
		for cut := uint64(0); ; cut++ {
			gone, err := crashRun(seed, cut, nil)
			require.NoError(t, err, "seed %d, cut at operation %d", seed, cut)
			runs++
			if !gone {
				break
			}
		}
	}
	t.Logf("%d crashes", runs)
}

// TestCrashFindsMissingSyncs takes syncs away and wants to see it noticed.
func TestCrashFindsMissingSyncs(t *testing.T) {
	mutants := map[string]func(Op, string) bool{
		"content": func(op Op, p string) bool {
			return op == OpSync && strings.HasPrefix(p, filesDir+"/") && path.Dir(p) != listsDir
		},
		"journal": func(op Op, p string) bool { return op == OpSync && strings.HasPrefix(p, "journal") },
		"directory of content": func(op Op, p string) bool {
			return op == OpSyncDir && strings.HasPrefix(p, filesDir+"/") && p != listsDir
		},
		"content that was small": func(op Op, p string) bool {
			return op == OpSync && strings.HasPrefix(p, filesDir+"/") && !isTemp(path.Base(p))
		},
		"directory of directories": func(op Op, p string) bool { return op == OpSyncDir && p == filesDir },
	}
	for name, skip := range mutants {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				for cut := uint64(0); cut < 200; cut++ {
					gone, err := crashRun(seed, cut, skip)
					if err != nil {
						t.Logf("seed %d, cut at operation %d: %v", seed, cut, err)
						return
					}
					if !gone {
						break
					}
				}
			}
			t.Fatal("nothing was noticed")
		})
	}
}
