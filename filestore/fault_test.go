package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failing makes every operation of one kind fail whose path contains part,
// and counts how often that was tried.
func failing(d *MemDisk, op Op, part string, err error) *atomic.Int32 {
	var tries atomic.Int32
	d.SetFault(func(o Op, p string) error {
		if o == op && strings.Contains(p, part) {
			tries.Add(1)
			return err
		}
		return nil
	})
	return &tries
}

// TestFailedSyncDegrades has each kind of sync fail once. The store must not
// acknowledge, not try again, write nothing more and still read, and what was
// acknowledged must be there after a power loss.
func TestFailedSyncDegrades(t *testing.T) {
	for _, c := range []struct {
		op   Op
		part string
	}{
		{OpSync, tempPrefix}, {OpSync, listsDir}, {OpSyncDir, listsDir}, {OpSyncDir, positionDir([20]byte{1})}, {OpCommit, ""}, {OpSync, "journal"},
	} {
		for seed := range uint64(6) { // enough for a failed commit to be there, and not
			t.Run(fmt.Sprintf("%s %s %d", c.op, path.Base(c.part), seed), func(t *testing.T) {
				d := NewMemDisk()
				o := Options{Disk: d, Positions: [][20]byte{{1}}}
				s, err := Open(o)
				require.NoError(t, err)
				require.NoError(t, put(s, ballot(1), "a", []byte("a")))
				require.NoError(t, put(s, ballot(1), "b", []byte("b")))
				require.NoError(t, s.Degraded())

				tries := failing(d, c.op, c.part, syscall.EIO)
				data := content(1, ChunkSize+1)
				err = put(s, ballot(2), "a", data)
				require.ErrorIs(t, err, syscall.EIO)
				require.ErrorIs(t, err, ErrDegraded, "the first failure too")
				require.ErrorIs(t, s.Degraded(), ErrDegraded)
				require.ErrorIs(t, s.Degraded(), syscall.EIO)
				_, err = s.Stage("c", 1)
				require.ErrorIs(t, err, ErrDegraded)
				require.ErrorIs(t, accept(s, ballot(3), recordOf("b", []byte("b"))), ErrDegraded)
				require.ErrorIs(t, s.SetMeta("x", nil), ErrDegraded)
				_, err = s.NextCounter(0)
				require.ErrorIs(t, err, ErrDegraded)
				require.EqualValues(t, 1, tries.Load(), "a failed sync is tried again")
				requireContent(t, s, "b", []byte("b"))
				_, err = s.Register("a")
				if c.op == OpCommit || c.part == "journal" {
					require.ErrorIs(t, err, ErrDegraded, "what is in doubt is not shown")
					for e, err := range s.Registers([20]byte{}, [20]byte{}, Cursor{}) {
						require.NoError(t, err)
						require.NotEqual(t, "a", e.Name)
					}
				} else {
					require.NoError(t, err)
				}
				require.NoError(t, s.Close())

				d.SetFault(nil)
				d.Crash(rand.New(rand.NewPCG(seed, 1)))
				s, err = Open(o)
				require.NoError(t, err)
				require.NoError(t, s.Degraded())
				requireContent(t, s, "b", []byte("b"))
				got, err := read(s, "a")
				require.NoError(t, err)
				require.Contains(t, []int{1, len(data)}, len(got))
				requireClean(t, s, 2)
				require.NoError(t, s.Close())
			})
		}
	}
}

// TestSyncAfterAFailedOne has two stores of names wait for one directory's
// sync. When it fails, the next one must not acknowledge what it cannot know.
func TestSyncAfterAFailedOne(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: [][20]byte{{1}}})
	require.NoError(t, err)
	st, err := s.Stage("a", 1)
	require.NoError(t, err)
	defer st.Discard()
	dir := positionDir([20]byte{1})
	fails := true
	d.SetFault(func(op Op, p string) error {
		if op == OpSyncDir && p == dir && fails {
			fails = false
			return syscall.EIO
		}
		return nil
	})
	require.ErrorIs(t, s.syncDir(dir), syscall.EIO)
	require.ErrorIs(t, s.syncDir(dir), ErrDegraded)
	require.ErrorIs(t, s.commit(write{metaKey("x"), []byte("x")}), ErrDegraded)
	require.NoError(t, s.Close())
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	failing(d, OpWrite, "", syscall.EIO)
	require.ErrorIs(t, put(s, ballot(2), "a", []byte("new")), syscall.EIO)
	d.SetFault(nil)
	requireContent(t, s, "a", []byte("a"))
	requireClean(t, s, 1)
	require.Zero(t, s.space.reserved)
	require.NoError(t, s.Close())
}

// TestFailedWriteDegrades has writing fail for good in each way: the store says
// that it is degraded, is not asked to write again, and goes on reading.
func TestFailedWriteDegrades(t *testing.T) {
	data := content(1, ChunkSize+1)
	for _, cause := range []error{syscall.EIO, syscall.EROFS} {
		for _, c := range []struct {
			op   Op
			part string
		}{
			{OpCreate, positionDir([20]byte{1})}, {OpWrite, positionDir([20]byte{1})}, {OpCreate, listsDir}, {OpWrite, listsDir},
			{OpRename, listsDir}, {OpRename, "/a"}, {OpCommit, ""},
		} {
			t.Run(fmt.Sprintf("%s %s %s", cause, c.op, path.Base(c.part)), func(t *testing.T) {
				d := NewMemDisk()
				s, err := Open(Options{Disk: d, Positions: [][20]byte{{1}}})
				require.NoError(t, err)
				require.NoError(t, put(s, ballot(1), "a", []byte("a")))
				require.NoError(t, put(s, ballot(1), "b", []byte("b")))
				tries := failing(d, c.op, c.part, cause)
				require.ErrorIs(t, put(s, ballot(2), "a", data), cause)
				require.ErrorIs(t, s.Degraded(), ErrDegraded)
				require.ErrorIs(t, s.Degraded(), cause)
				require.ErrorIs(t, put(s, ballot(2), "b", data), ErrDegraded)
				require.EqualValues(t, 1, tries.Load())
				requireContent(t, s, "b", []byte("b"))
				require.NoError(t, s.Close())
			})
		}
	}
}

func TestUnreadableIsDamage(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	failing(d, OpRead, "", syscall.EIO)
	_, err = read(s, "a")
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorIs(t, err, syscall.EIO)
	d.SetFault(nil)
	requireContentGone(t, s, "a")
	require.NoError(t, s.Close())
}

func requireContentGone(t *testing.T, s *Store, name string) {
	t.Helper()
	r, err := s.Register(name)
	require.NoError(t, err)
	require.NotNil(t, r.Record)
	require.False(t, r.Held)
}

// TestDamageOnADegradedDisk wants damage remembered though it cannot be
// written down.
func TestDamageOnADegradedDisk(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	failing(d, OpCommit, "", syscall.EIO)
	require.Error(t, s.SetMeta("x", []byte("x")))
	require.NoError(t, d.Damage(visible(t, s, "a"), 0))
	_, err = read(s, "a")
	require.ErrorIs(t, err, ErrCorrupt)
	requireContentGone(t, s, "a")
	require.NoError(t, s.Close())
}

func TestFullDisk(t *testing.T) {
	d := NewMemDisk()
	d.SetCapacity(100_000)
	s, err := Open(Options{Disk: d, Positions: testPositions, MinFree: 10_000})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", make([]byte, 50_000)))
	_, err = s.Stage("b", 50_000)
	var space *SpaceError
	require.ErrorAs(t, err, &space)
	require.ErrorIs(t, err, ErrNoSpace)
	require.Equal(t, SpaceError{Needed: 50_000, Free: 40_000}, *space)
	// Stages reserve, so that two do not get the same room.
	st, err := s.Stage("b", 30_000)
	require.NoError(t, err)
	_, err = s.Stage("c", 20_000)
	require.ErrorIs(t, err, ErrNoSpace)
	_, err = st.Write(make([]byte, 20_000))
	require.NoError(t, err)
	_, _, free := s.Usage()
	require.EqualValues(t, 10_000, free, "what is written is not counted twice")
	require.NoError(t, st.Reserve(0))
	_, _, free = s.Usage()
	require.EqualValues(t, 20_000, free, "what is not written was given back")
	require.ErrorIs(t, st.Reserve(41_000), ErrNoSpace)
	require.NoError(t, st.Reserve(40_000))
	_, _, free = s.Usage()
	require.Zero(t, free)
	st.Discard()
	// Nobody knows how long it gets.
	st, err = s.Stage("b", -1)
	require.NoError(t, err)
	_, err = st.Write(make([]byte, 40_000))
	require.NoError(t, err)
	_, err = st.Write(make([]byte, 1))
	require.ErrorIs(t, err, ErrNoSpace)
	st.Discard()
	// The disk is fuller than it said.
	st, err = s.Stage("b", 30_000)
	require.NoError(t, err)
	d.SetCapacity(60_000)
	_, err = st.Write(make([]byte, 30_000))
	require.ErrorIs(t, err, ErrNoSpace)
	require.Error(t, st.Seal(recordOf("b", make([]byte, 30_000))))
	st.Discard()
	require.NoError(t, s.Degraded())
	requireContent(t, s, "a", make([]byte, 50_000))
	require.NoError(t, accept(s, ballot(2), Record{Name: "a", Deleted: true}), "deletes go on")
	require.NoError(t, put(s, ballot(3), "a", make([]byte, 20_000)))
	require.Zero(t, s.space.reserved)
	require.NoError(t, s.Close())
}

func TestCapacity(t *testing.T) {
	s, err := Open(Options{Disk: NewMemDisk(), Positions: testPositions, Capacity: 1000})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", make([]byte, 600)))
	_, err = s.Stage("b", 401)
	require.ErrorIs(t, err, ErrNoSpace)
	require.NoError(t, put(s, ballot(1), "b", make([]byte, 400)))
	_, _, free := s.Usage()
	require.Zero(t, free)
	require.NoError(t, s.Drop("a", acceptedAt(t, s, "a")))
	_, _, free = s.Usage()
	require.EqualValues(t, 600, free)
	require.NoError(t, s.Close())
}

// TestFullTable has a commit find no room: nothing happens and the store goes
// on, since that is known before anything is written.
func TestFullTable(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	failing(d, OpCommit, "", ErrNoSpace)
	require.ErrorIs(t, put(s, ballot(2), "a", []byte("b")), ErrNoSpace)
	d.SetFault(nil)
	require.NoError(t, s.Degraded())
	requireContent(t, s, "a", []byte("a"))
	require.NoError(t, put(s, ballot(2), "a", []byte("b")))
	requireContent(t, s, "a", []byte("b"))
	requireClean(t, s, 1)
	require.NoError(t, s.Close())
}

// TestFullTableSpendsTheReserve has a commit find no room but for what was set
// aside: deletes go on, content is refused until there is something aside again.
func TestFullTableSpendsTheReserve(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	require.NoError(t, put(s, ballot(1), "b", []byte("b")))
	full, given := true, 0
	d.SetFault(func(op Op, p string) error {
		switch {
		case op == OpRemove && p == reserveFile:
			full = false
			given++
		case op == OpCommit && full:
			return ErrNoSpace
		}
		return nil
	})
	require.NoError(t, accept(s, ballot(2), Record{Name: "a", Deleted: true}))
	requireContent(t, s, "a", nil)
	require.Equal(t, 1, given)
	d.SetCapacity(1)
	var space *SpaceError
	_, err = s.Stage("c", 0)
	require.ErrorAs(t, err, &space, "the reserve comes first")
	full = true
	require.ErrorIs(t, accept(s, ballot(2), Record{Name: "b", Deleted: true}), ErrNoSpace)
	require.Equal(t, 1, given, "it is given back once")
	d.SetCapacity(1000)
	require.NoError(t, s.setAside())
	require.NoError(t, accept(s, ballot(3), Record{Name: "b", Deleted: true}))
	require.Equal(t, 2, given)
	require.NoError(t, s.Degraded())
	require.NoError(t, s.Close())
}

// askedDisk calls a function while it is asked how much room there is.
type askedDisk struct {
	Disk
	asked func()
}

func (d *askedDisk) free() (int64, error) {
	d.asked()
	return d.Disk.free()
}

// TestRoomGivenBackMeanwhile begins a file while another gives back what it had
// reserved, on a disk with as much room as a number can say.
func TestRoomGivenBackMeanwhile(t *testing.T) {
	disk := &askedDisk{Disk: NewMemDisk(), asked: func() {}}
	s, err := Open(Options{Disk: disk, Positions: testPositions})
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	other, err := s.Stage("other", 1000)
	require.NoError(t, err)
	_, err = other.Write(content(1, 1000))
	require.NoError(t, err)
	disk.asked = other.Discard
	st, err := s.Stage("a", 100)
	require.NoError(t, err)
	st.Discard()
	require.Zero(t, s.space.reserved)
}

// TestReserveFile looks at the space that is set aside in a directory.
func TestReserveFile(t *testing.T) {
	d := OSDisk(t.TempDir())
	for range 2 {
		s, err := Open(Options{Disk: d, Positions: testPositions})
		require.NoError(t, err)
		info, err := d.stat(reserveFile)
		require.NoError(t, err)
		require.EqualValues(t, reserveSize, info.Size())
		require.True(t, s.spend())
		require.False(t, s.spend())
		_, err = d.stat(reserveFile)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, put(s, ballot(1), "a", []byte("a")), "setting aside comes first")
		_, err = d.stat(reserveFile)
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}

func TestMemDiskKeepsBooks(t *testing.T) {
	d := NewMemDisk()
	d.SetCapacity(1000)
	free := func() int64 { n, err := d.free(); require.NoError(t, err); return n }
	for _, name := range []string{"a", "b"} {
		f, err := d.create(name)
		require.NoError(t, err)
		_, err = f.Write(make([]byte, 100))
		require.NoError(t, err)
	}
	assert.EqualValues(t, 800, free())
	require.NoError(t, d.rename("a", "b"))
	assert.EqualValues(t, 900, free())
	require.NoError(t, d.remove("b"))
	assert.EqualValues(t, 1000, free())
	require.Error(t, d.remove("b"))
	require.Error(t, d.Damage("b", 0))
	require.NoError(t, d.mkdir("d"))
	f, err := d.create("d/x")
	require.NoError(t, err)
	_, err = f.Write(make([]byte, 2000))
	require.ErrorIs(t, err, ErrNoSpace)
	require.Error(t, d.remove("d"), "not empty")
	assert.Zero(t, free())
	require.False(t, errors.Is(err, errSync))
}
