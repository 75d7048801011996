package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// openTestJournal opens the table of a disk with its journal.
func openTestJournal(d *MemDisk) (*journal, error) {
	inner, err := d.openTable(true)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(d, inner)
	if err == nil {
		j.step = 3
	}
	return j, err
}

// journalRun changes a journal at random beside a map that does the same.
type journalRun struct {
	rng   *rand.Rand
	disk  *MemDisk
	j     *journal
	acked map[string]string
	tried map[string]string // what the last commit would have made of it
	keep  map[string]bool   // content that has no file yet

	content bool // there is some
}

func (r *journalRun) step() error {
	switch r.rng.IntN(8) {
	case 0:
		return r.j.freeze()
	case 1:
		r.j.forget(func(key []byte) bool { return r.keep[string(key)] })
		maps.DeleteFunc(r.acked, func(key, _ string) bool { return key[0] == prefixContent && !r.keep[key] })
		return r.j.checkpoint()
	}
	var writes []write
	r.tried = maps.Clone(r.acked)
	for range 1 + r.rng.IntN(4) {
		key := fmt.Sprintf("%c%d", "rm"[r.rng.IntN(2)], r.rng.IntN(30))
		if r.content && r.rng.IntN(4) == 0 {
			key = fmt.Sprintf("%c%d", prefixContent, r.rng.IntN(10))
			r.keep[key] = r.rng.IntN(2) == 0
		}
		if r.rng.IntN(4) == 0 {
			writes = append(writes, write{key: []byte(key)})
			delete(r.tried, key)
			continue
		}
		value := fmt.Sprint(r.rng.Uint64()) + string(make([]byte, r.rng.IntN(2*journalBlock)))
		writes = append(writes, write{[]byte(key), []byte(value)})
		r.tried[key] = value
	}
	err := r.j.apply(writes)
	if err == nil {
		r.acked = r.tried
	}
	return err
}

// is reports how the journal differs from what it should be.
func (r *journalRun) is(want map[string]string) error {
	var listed []string
	for key, value := range want {
		got, err := r.j.get([]byte(key))
		if err != nil || string(got) != value {
			return fmt.Errorf("%s: have %.20q, want %.20q: %w", key, got, value, err)
		}
		if key[0] != prefixContent {
			listed = append(listed, key)
		}
	}
	slices.Sort(listed)
	n := 1 + r.rng.IntN(12)
	var got []string
	for after := []byte(nil); ; {
		page, err := r.j.page(after, n)
		if err != nil || len(page) > n {
			return fmt.Errorf("page of %d for %d: %w", len(page), n, err)
		}
		for _, p := range page {
			if after = p.key; p.key[0] == prefixStore {
				continue
			}
			got = append(got, string(p.key))
			if string(p.value) != want[string(p.key)] {
				return fmt.Errorf("%s is listed with %.20q, want %.20q", p.key, p.value, want[string(p.key)])
			}
		}
		if len(page) < n {
			break
		}
	}
	if !slices.Equal(listed, got) {
		return fmt.Errorf("listed by %d: %v, want %v", n, got, listed)
	}
	return nil
}

// A journal with a table is a map, whatever is frozen, applied or opened again, and
// after a loss of power at any operation it is what it was before the commit under
// way, or after.
func TestJournalIsAMap(t *testing.T) {
	for seed := range uint64(bubble.Fewer(400)) {
		r := &journalRun{
			rng: rand.New(rand.NewPCG(seed, 0)), disk: NewMemDisk(),
			acked: map[string]string{}, keep: map[string]bool{}, content: seed%2 == 0,
		}
		for life := range 6 {
			cut, ops, off := r.rng.IntN(60), 0, false
			if life == 0 {
				cut = 1 << 30 // the first open is of no interest here
			}
			r.disk.SetFault(func(op Op, _ string) error {
				if op == OpRead {
					return nil
				}
				if ops++; ops > cut {
					off = true
					return errPower
				}
				return nil
			})
			var err error
			if r.j, err = openTestJournal(r.disk); err == nil {
				for i := 0; i < 40 && err == nil; i++ {
					if err = r.step(); err == nil {
						require.NoError(t, r.is(r.acked), "seed %d, life %d, step %d", seed, life, i)
					}
				}
			}
			if err != nil {
				require.True(t, off, "seed %d, life %d: %v", seed, life, err)
			}
			r.disk.SetFault(nil)
			if off || r.rng.IntN(2) == 0 {
				r.disk.Crash(r.rng)
			}
			r.j, err = openTestJournal(r.disk)
			require.NoError(t, err, "seed %d, life %d", seed, life)
			if r.tried != nil && r.is(r.acked) != nil {
				require.NoError(t, r.is(r.tried), "seed %d, life %d", seed, life)
				r.acked = r.tried
			}
			r.tried = nil
		}
	}
}

// aJournal is a disk whose journal has some commits, and where each begins.
func aJournal(t *testing.T, commits int) (*MemDisk, []int64) {
	t.Helper()
	d := NewMemDisk()
	j, err := openTestJournal(d)
	require.NoError(t, err)
	var at []int64
	for i := range commits {
		at = append(at, j.active.end)
		require.NoError(t, j.apply([]write{{[]byte(fmt.Sprint("r", i)), make([]byte, journalBlock)}}))
	}
	require.NoError(t, j.close())
	return d, append(at, j.active.end)
}

// A last record that is not whole is what a loss of power leaves. One that is not whole
// with others behind it was, and is damage, which is told.
func TestJournalTornOrDamaged(t *testing.T) {
	const commits = 4
	_, at := aJournal(t, commits)
	for block := at[0]; block < at[commits]; block += journalBlock {
		for _, off := range []int64{block, block + 5, block + journalBlock - 1} {
			d, _ := aJournal(t, commits)
			require.NoError(t, d.Damage(journalFile(1), off))
			j, err := openTestJournal(d)
			if block < at[commits-1] {
				require.ErrorIs(t, err, errDamagedTable, "at %d", off)
				continue
			}
			require.NoError(t, err, "at %d", off)
			for i := range commits {
				value, err := j.get([]byte(fmt.Sprint("r", i)))
				require.NoError(t, err)
				require.Equal(t, i < commits-1, value != nil)
			}
			require.NoError(t, d.Damage(journalFile(1), off)) // as if it were whole after all
			j, err = openTestJournal(d)
			require.NoError(t, err)
			require.Equal(t, at[commits-1], j.active.end, "what was not there once does not come back")
		}
	}
}

func TestJournalHead(t *testing.T) {
	lost := map[string]func(d *MemDisk) error{
		"both heads": func(d *MemDisk) error {
			if err := d.Damage(journalFile(1), 3); err != nil {
				return err
			}
			return d.Damage(journalFile(1), journalBlock+30)
		},
		"file removed": func(d *MemDisk) error { return d.remove(journalFile(1)) },
		"former table": func(d *MemDisk) error { // three generations were applied since
			before := d.tab.crash(rand.New(rand.NewPCG(0, 0)))
			j, err := openTestJournal(d)
			for i := 0; i < 3 && err == nil; i++ {
				if err = j.apply([]write{{[]byte("r"), []byte{byte(i)}}}); err == nil {
					if err = j.freeze(); err == nil {
						err = j.checkpoint()
					}
				}
			}
			d.tab = before
			return err
		},
	}
	for name, lose := range lost {
		t.Run(name, func(t *testing.T) {
			d, _ := aJournal(t, 2)
			require.NoError(t, lose(d))
			_, err := openTestJournal(d)
			require.ErrorIs(t, err, errDamagedTable)
		})
	}
	for _, at := range []int64{10, journalBlock + 10} {
		d, _ := aJournal(t, 2)
		require.NoError(t, d.Damage(journalFile(1), at))
		j, err := openTestJournal(d)
		require.NoError(t, err, "the other copy is whole")
		value, err := j.get([]byte("r1"))
		require.NoError(t, err)
		require.NotNil(t, value)
	}
}

// What a generation has left in the file behind the end of the one that follows it
// there is nobody's.
func TestJournalFileIsUsedAgain(t *testing.T) {
	d, _ := aJournal(t, 20)
	j, err := openTestJournal(d)
	require.NoError(t, err)
	for _, value := range []string{"", "2", "3"} {
		if value != "" {
			require.NoError(t, j.apply([]write{{[]byte("r0"), []byte(value)}}))
		}
		require.NoError(t, j.freeze())
		require.NoError(t, j.checkpoint())
	}
	require.NoError(t, j.apply([]write{{[]byte("r1"), []byte("4")}}))
	require.NoError(t, j.close())
	j, err = openTestJournal(d)
	require.NoError(t, err)
	require.EqualValues(t, 4, j.active.number)
	require.Len(t, j.active.changes, 1)
	for key, want := range map[string]string{"r0": "3", "r1": "4"} {
		value, err := j.get([]byte(key))
		require.NoError(t, err)
		require.Equal(t, want, string(value))
	}
}

// A commit that finds no room is not there, also when it comes to be opened again.
func TestJournalWithoutRoom(t *testing.T) {
	d, _ := aJournal(t, 1)
	j, err := openTestJournal(d)
	require.NoError(t, err)
	failing(d, OpCommit, "journal", ErrNoSpace)
	require.ErrorIs(t, j.apply([]write{{[]byte("r9"), make([]byte, 3*journalBlock)}}), ErrNoSpace)
	d.SetFault(nil)
	require.NoError(t, j.apply([]write{{[]byte("r1"), []byte("1")}}))
	j, err = openTestJournal(d)
	require.NoError(t, err)
	value, err := j.get([]byte("r9"))
	require.NoError(t, err)
	require.Nil(t, value)
	value, err = j.get([]byte("r1"))
	require.NoError(t, err)
	require.Equal(t, "1", string(value))
}

// A table that finds no room for a checkpoint gets it with the next one; meanwhile the
// journal has everything.
func TestCheckpointWithoutRoom(t *testing.T) {
	d := NewMemDisk()
	o := Options{Disk: d, Positions: testPositions, Small: 2000}
	s, err := Open(o)
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	failing(d, OpCommit, tableFile, ErrNoSpace)
	for i := range 3 {
		require.ErrorIs(t, s.Flush(), ErrNoSpace)
		require.NoError(t, s.Degraded())
		require.NoError(t, put(s, ballot(2), fmt.Sprint(i), []byte("b")))
	}
	requireContent(t, s, "a", []byte("a"))
	d.Crash(rand.New(rand.NewPCG(1, 1)))
	s, err = Open(o)
	require.NoError(t, err, "a node whose disk is full starts all the same")
	requireContent(t, s, "a", []byte("a"))
	require.NoError(t, put(s, ballot(2), "c", []byte("c")))
	d.SetFault(nil)
	require.NoError(t, s.Flush())
	require.Nil(t, s.tab.frozen)
	require.NoError(t, s.Close())
	size, _ := s.tab.size()
	require.Zero(t, size)
	s, err = Open(o)
	require.NoError(t, err)
	for _, name := range []string{"0", "1", "2"} {
		requireContent(t, s, name, []byte("b"))
	}
	requireContent(t, s, "c", []byte("c"))
	require.NoError(t, s.Close())
}

// Content whose file cannot be made stays in the journal, where it can be read, and is no
// reason to flush again and again.
func TestContentThatStaysInTheJournal(t *testing.T) {
	d := NewMemDisk()
	o := Options{Disk: d, Positions: testPositions, Small: ChunkSize}
	s, err := Open(o)
	require.NoError(t, err)
	only := ""
	d.SetFault(func(op Op, p string) error {
		if op == OpCreate && isTemp(path.Base(p)) && (only == "" || only == p) {
			only = p
			return syscall.EMFILE
		}
		return nil
	})
	data := content(1, 1000)
	require.ErrorIs(t, put(s, ballot(1), "a", data), syscall.EMFILE)
	for i := range 5 {
		require.NoError(t, put(s, ballot(1), fmt.Sprint(i), content(2, 1000)))
		require.NoError(t, s.Flush())
		size, _ := s.tab.size()
		require.Zero(t, size)
		requireContent(t, s, "a", data)
	}
	require.Equal(t, 1, len(s.tab.active.changes))
	d.SetFault(nil)
	d.mu.Lock()
	d.holder = nil // the process is killed
	d.mu.Unlock()
	s, err = Open(o)
	require.NoError(t, err)
	requireContent(t, s, "a", data)
	require.NoError(t, s.Close())
}

// Content that was damaged before a checkpoint took it over keeps no node from starting.
func TestDamagedContentInTheJournal(t *testing.T) {
	data := content(1, 3000)
	d, o := killed(t, data)
	j, err := openTestJournal(d)
	require.NoError(t, err)
	at := slices.IndexFunc(j.active.changes, func(c *change) bool { return c.content.size > 0 })
	require.NoError(t, d.Damage(journalFile(j.active.number), j.active.changes[at].content.at+100))
	require.NoError(t, j.freeze())
	require.NoError(t, j.checkpoint())
	require.NoError(t, j.close())
	s, err := Open(o)
	require.NoError(t, err)
	require.False(t, s.Rebuilt())
	requireContent(t, s, "a", data) // the file is whole
	require.NoError(t, s.Close())
}

// A start has something to write down when files were deleted before, and does it in
// the space that was set aside where there is no other.
func TestStartSpendsTheReserve(t *testing.T) {
	d := NewMemDisk()
	o := Options{Disk: d, Positions: testPositions}
	s, err := Open(o)
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	require.NoError(t, accept(s, ballot(2), Record{Name: "a", Deleted: true}))
	require.NoError(t, s.Close())
	given := false
	d.SetFault(func(op Op, p string) error {
		switch {
		case op == OpRemove && p == reserveFile:
			given = true
		case op == OpCommit && !given:
			return ErrNoSpace
		}
		return nil
	})
	s, err = Open(o)
	require.NoError(t, err)
	require.True(t, given)
	requireContent(t, s, "a", nil)
	require.NoError(t, s.Close())
}

// A sector that cannot be read is damage of the journal.
func TestUnreadableJournal(t *testing.T) {
	d, _ := aJournal(t, 2)
	failing(d, OpRead, "journal", syscall.EIO)
	_, err := openTestJournal(d)
	require.ErrorIs(t, err, errDamagedTable)
	failing(d, OpRead, "journal", syscall.EMFILE)
	_, err = openTestJournal(d)
	require.ErrorIs(t, err, syscall.EMFILE)
	require.NotErrorIs(t, err, errDamagedTable)
}

// A table that does not take a checkpoint for another reason may have it or not.
func TestFailedCheckpoint(t *testing.T) {
	for seed := range uint64(6) {
		d := NewMemDisk()
		o := Options{Disk: d, Positions: testPositions, Small: 2000}
		s, err := Open(o)
		require.NoError(t, err)
		require.NoError(t, put(s, ballot(1), "a", []byte("a")))
		tries := failing(d, OpCommit, tableFile, syscall.EIO)
		require.ErrorIs(t, s.Flush(), syscall.EIO)
		require.ErrorIs(t, s.Degraded(), ErrDegraded)
		require.ErrorIs(t, put(s, ballot(2), "b", []byte("b")), ErrDegraded)
		require.ErrorIs(t, s.Flush(), ErrDegraded)
		require.EqualValues(t, 1, tries.Load(), "it is not tried again")
		requireContent(t, s, "a", []byte("a"))
		d.SetFault(nil)
		require.NoError(t, s.Close())
		d.Crash(rand.New(rand.NewPCG(seed, 0)))
		s, err = Open(o)
		require.NoError(t, err)
		require.False(t, s.Rebuilt())
		requireContent(t, s, "a", []byte("a"))
		require.NoError(t, s.Close())
	}
}

// Small content that comes while others are made durable is there after a loss of
// power at any time.
func TestCrashWhileFlushing(t *testing.T) {
	for seed := range uint64(bubble.Fewer(60)) {
		rng := rand.New(rand.NewPCG(seed, 0))
		d := NewMemDisk()
		o := Options{Disk: d, Positions: crashPositions, Small: 2000}
		s, err := Open(o)
		require.NoError(t, err)
		var ops atomic.Int64
		cut := rng.Int64N(400)
		d.SetFault(func(op Op, _ string) error {
			if op != OpRead && ops.Add(1) > cut {
				return errPower
			}
			return nil
		})
		const writers = 6
		var acked [writers][]byte
		var tried [writers][]byte
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := uint64(1); ; i++ {
					tried[w] = content(byte(i), 1+int(i*uint64(w+7)%1500))
					if put(s, ballot(i), fmt.Sprint(w), tried[w]) != nil {
						return
					}
					acked[w] = tried[w]
				}
			})
		}
		var off atomic.Bool
		var flusher sync.WaitGroup
		flusher.Go(func() {
			for !off.Load() {
				_ = s.Flush() // it fails when the power is off
				runtime.Gosched()
			}
		})
		all.Wait()
		off.Store(true)
		flusher.Wait()
		_ = s.Close() // its power is off
		d.SetFault(nil)
		d.Crash(rng)
		s, err = Open(o)
		require.NoError(t, err)
		for w := range writers {
			got, err := read(s, fmt.Sprint(w))
			if acked[w] == nil && errors.Is(err, ErrNotFound) {
				continue
			}
			require.NoError(t, err, "seed %d", seed)
			require.True(t, bytes.Equal(got, acked[w]) || bytes.Equal(got, tried[w]), "seed %d", seed)
		}
		require.NoError(t, s.Close())
	}
}

// A table of a former version, without a journal and with small content in it.
func TestTableOfAFormerVersion(t *testing.T) {
	data := content(1, 3000)
	d, o := killed(t, data)
	j, err := openTestJournal(d)
	require.NoError(t, err)
	key := slices.IndexFunc(j.active.changes, func(c *change) bool { return c.content.size > 0 })
	value, err := j.get(j.active.changes[key].key)
	require.NoError(t, err)
	writes := []write{{bytes.Clone(j.active.changes[key].key), value}, {key: keyApplied}}
	pairs, err := j.page(nil, 100)
	require.NoError(t, err)
	for _, p := range pairs {
		if !bytes.Equal(p.key, keyApplied) {
			writes = append(writes, write(p))
		}
	}
	require.NoError(t, j.inner.apply(writes))
	for n := range uint64(2) {
		require.NoError(t, d.remove(journalFile(n)))
	}
	require.NoError(t, d.syncDir("."))
	for seed := range uint64(8) {
		d.Crash(rand.New(rand.NewPCG(seed, 0))) // the file is torn, or not
		s, err := Open(o)
		require.NoError(t, err)
		require.False(t, s.Rebuilt())
		requireContent(t, s, "a", data)
		require.NoError(t, s.Close())
		left, err := d.tab.page([]byte{prefixContent}, 1)
		require.NoError(t, err)
		require.NotEqual(t, byte(prefixContent), left[0].key[0], "content is in the table no more")
	}
}
