package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recordOf returns the live record of data under name.
func recordOf(name string, data []byte) Record {
	d := NewDigest()
	_, _ = d.Write(data)
	return Record{
		Format: RecordFormat, Name: name, Size: d.Size(), SHA256: d.SHA256(), Root: d.Root(),
		Mode: 0o640, Modified: 1_700_000_000_123_456_789, Changes: 1,
	}
}

func ballot(n uint64) Ballot { return Ballot{Counter: n, Machine: MachineID{1}} }

// stage stages data and seals it.
func stage(s *Store, rec Record, data []byte) (*Stage, error) {
	st, err := s.Stage(rec.Name, rec.Size)
	if err != nil {
		return nil, err
	}
	if _, err := st.Write(data); err != nil {
		st.Discard()
		return nil, err
	}
	if err := st.Seal(rec); err != nil {
		st.Discard()
		return nil, err
	}
	return st, nil
}

// accept has the register take r at ballot b.
func accept(s *Store, b Ballot, r Record) error {
	_, err := s.Update(r.Name, func(Register) (Register, error) {
		return Register{Promised: b, Accepted: b, Record: &r}, nil
	})
	return err
}

// put stages and accepts data.
func put(s *Store, b Ballot, name string, data []byte) error {
	rec := recordOf(name, data)
	st, err := stage(s, rec, data)
	if err != nil {
		return err
	}
	defer st.Discard()
	return accept(s, b, rec)
}

// acceptedAt returns the ballot that name's register accepted.
func acceptedAt(t *testing.T, s *Store, name string) Ballot {
	r, err := s.Register(name)
	require.NoError(t, err)
	return r.Accepted
}

// read returns the content of name that its register names.
func read(s *Store, name string) ([]byte, error) {
	r, err := s.Register(name)
	if err != nil {
		return nil, err
	}
	if r.Record == nil || r.Record.Deleted {
		return nil, ErrNotFound
	}
	c, err := s.Open(name, r.Record.SHA256)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // only read
	data := make([]byte, c.Size())
	if len(data) == 0 {
		return data, nil
	}
	_, err = c.ReadAt(data, 0)
	return data, err
}

func content(seed byte, n int) []byte {
	data := bytes.Repeat([]byte("0123456789abcde"), n/15+1)[:n]
	for i := 0; i < n; i += 997 {
		data[i] = seed + byte(i>>10)
	}
	return data
}

var testPositions = [][20]byte{{1}, {128}}

// onDisks runs a test on each Disk there is. reopen closes the store and opens
// it again.
func onDisks(t *testing.T, f func(t *testing.T, d Disk, s *Store, reopen func() *Store)) {
	for name, disk := range map[string]Disk{"os": OSDisk(t.TempDir()), "mem": NewMemDisk()} {
		t.Run(name, func(t *testing.T) {
			open := func() *Store {
				s, err := Open(Options{Disk: disk, Positions: testPositions})
				require.NoError(t, err)
				return s
			}
			s := open()
			t.Cleanup(func() { assert.NoError(t, s.Close()) })
			f(t, disk, s, func() *Store {
				require.NoError(t, s.Close())
				s = open()
				return s
			})
		})
	}
}

// requireContent wants name to be there as data, or not there if it is nil.
func requireContent(t *testing.T, s *Store, name string, data []byte) {
	t.Helper()
	got, err := read(s, name)
	if data == nil {
		require.ErrorIs(t, err, ErrNotFound)
		return
	}
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got), "content of %s", name)
}

// requireClean wants no file but visible ones under files/.
func requireClean(t *testing.T, s *Store, visible int) {
	t.Helper()
	for _, p := range s.positions {
		entries, err := s.disk.list(positionDir(p))
		require.NoError(t, err)
		for _, e := range entries {
			require.False(t, isTemp(e.Name()), e.Name())
			visible--
		}
	}
	require.Zero(t, visible, "visible files less than expected")
}

func TestContentComesBack(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, reopen func() *Store) {
		sizes := []int{0, 1, ChunkSize, ChunkSize + 1, 3*ChunkSize - 1}
		total := 0
		for i, n := range sizes {
			require.NoError(t, put(s, ballot(1), fmt.Sprint(i), content(byte(i), n)))
			total += n
		}
		for range 2 {
			for i, n := range sizes {
				requireContent(t, s, fmt.Sprint(i), content(byte(i), n))
			}
			files, bytes, free := s.Usage()
			require.Equal(t, len(sizes), files)
			require.EqualValues(t, total, bytes)
			require.Positive(t, free)
			requireClean(t, s, len(sizes))
			s = reopen()
			require.False(t, s.Rebuilt())
		}
		info, err := d.stat(visible(t, s, "1"))
		require.NoError(t, err)
		require.EqualValues(t, 0o640, info.Mode().Perm())
		require.EqualValues(t, 1_700_000_000, info.ModTime().Unix())
	})
}

// visible returns the path of name's content on the Disk.
func visible(t *testing.T, s *Store, name string) string {
	p, err := s.visible(name)
	require.NoError(t, err)
	return p
}

func TestUpdateKeepsTheRegister(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, reopen func() *Store) {
		r, err := s.Register("a")
		require.NoError(t, err)
		require.Zero(t, r)
		promise := func(r Register) (Register, error) { r.Promised = ballot(5); return r, nil }
		r, err = s.Update("a", promise)
		require.NoError(t, err)
		require.Equal(t, Register{Promised: ballot(5)}, r)
		require.NoError(t, put(s, ballot(6), "a", []byte("one")))
		refused := errors.New("refused")
		r, err = s.Update("a", func(r Register) (Register, error) {
			r.Record.Voters.New = append(r.Record.Voters.New, MachineID{9})
			return Register{}, refused
		})
		require.Equal(t, refused, err)
		require.Equal(t, ballot(6), r.Accepted)
		require.Empty(t, r.Record.Voters.New)
		s = reopen()
		got, err := s.Register("a")
		require.NoError(t, err)
		require.True(t, got.Held)
		require.Equal(t, recordOf("a", []byte("one")), *got.Record)
		// A new ballot for the same content needs no new copy.
		require.NoError(t, accept(s, ballot(7), *got.Record))
		requireContent(t, s, "a", []byte("one"))
		_, err = s.Register("../a")
		require.ErrorIs(t, err, ErrBadName)
		_, err = s.Update("/a", promise)
		require.ErrorIs(t, err, ErrBadName)
		_, err = s.Update("b", func(Register) (Register, error) { return got, nil })
		require.ErrorIs(t, err, ErrBadName, "a record of another name")
	})
}

func TestAcceptNeedsContent(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, _ func() *Store) {
		one, two := []byte("one"), []byte("two")
		require.ErrorIs(t, accept(s, ballot(1), recordOf("a", one)), ErrNoContent)
		st, err := s.Stage("a", -1)
		require.NoError(t, err)
		_, err = st.Write(one)
		require.NoError(t, err)
		require.ErrorIs(t, accept(s, ballot(1), recordOf("a", one)), ErrNoContent, "not sealed")
		require.False(t, s.Holds("a", recordOf("a", one).SHA256))
		require.NoError(t, st.Seal(recordOf("a", one)))
		require.True(t, s.Holds("a", recordOf("a", one).SHA256))
		require.ErrorIs(t, accept(s, ballot(1), recordOf("a", two)), ErrNoContent, "other content")
		require.ErrorIs(t, accept(s, ballot(1), recordOf("b", one)), ErrNoContent, "other name")
		r, err := s.Register("a")
		require.NoError(t, err)
		require.Zero(t, r, "a refused record changes nothing")
		require.NoError(t, accept(s, ballot(1), recordOf("a", one)))
		st.Discard()
		requireContent(t, s, "a", one)
		requireClean(t, s, 1)
	})
}

func TestSealRefusesWhatDoesNotMatch(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, _ func() *Store) {
		good := recordOf("a", []byte("one"))
		for _, c := range []struct {
			spoil func(*Record)
			want  error
		}{
			{func(r *Record) { r.SHA256[0]++ }, ErrCorrupt},
			{func(r *Record) { r.Root[0]++ }, ErrCorrupt},
			{func(r *Record) { r.Size++ }, ErrCorrupt},
			{func(r *Record) { r.Name = "b" }, ErrBadName},
			{func(r *Record) { r.Deleted = true }, ErrBadName},
		} {
			bad := good
			c.spoil(&bad)
			st, err := s.Stage("a", 3)
			require.NoError(t, err)
			_, err = st.Write([]byte("one"))
			require.NoError(t, err)
			require.ErrorIs(t, st.Seal(bad), c.want)
			st.Discard()
		}
		st, err := s.Stage("a", 3)
		require.NoError(t, err)
		require.NoError(t, st.WriteChunk([]byte("one"), good.SHA256))
		require.Error(t, st.WriteChunk([]byte("two"), good.SHA256), "after a short chunk")
		require.Error(t, st.Seal(good), "after an error")
		st.Discard()
		_, err = st.Write([]byte("x"))
		require.Error(t, err, "after Discard")
		require.Error(t, st.Seal(good))
		requireClean(t, s, 0)
		_, bytes, _ := s.Usage()
		require.Zero(t, bytes)
		require.Zero(t, s.space)
	})
}

func TestReplaceDeleteDropForget(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, reopen func() *Store) {
		one, two := content(1, ChunkSize+5), content(2, 2*ChunkSize+5)
		require.NoError(t, put(s, ballot(1), "a", one))
		old, err := s.Open("a", recordOf("a", one).SHA256)
		require.NoError(t, err)
		require.NoError(t, put(s, ballot(2), "a", two))
		requireContent(t, s, "a", two)
		_, err = s.Open("a", recordOf("a", one).SHA256)
		require.ErrorIs(t, err, ErrNotFound)
		got := make([]byte, len(one))
		_, err = old.ReadAt(got, 0)
		require.NoError(t, err, "an open content survives its replacement")
		require.True(t, bytes.Equal(one, got))
		require.NoError(t, old.Close())

		at := acceptedAt(t, s, "a")
		require.ErrorIs(t, s.Drop("a", Ballot{Counter: at.Counter - 1, Machine: at.Machine}), ErrNotFound)
		require.NoError(t, s.Drop("a", at))
		r, err := s.Register("a")
		require.NoError(t, err)
		require.False(t, r.Held)
		require.Equal(t, ballot(2), r.Accepted)
		requireClean(t, s, 0)
		// A promise needs no content, a new ballot does.
		_, err = s.Update("a", func(r Register) (Register, error) { r.Promised = ballot(3); return r, nil })
		require.NoError(t, err)
		require.ErrorIs(t, accept(s, ballot(4), *r.Record), ErrNoContent)
		// Content that comes back is taken up by any Update.
		st, err := stage(s, *r.Record, two)
		require.NoError(t, err)
		r, err = s.Update("a", func(r Register) (Register, error) { return r, nil })
		require.NoError(t, err)
		require.True(t, r.Held)
		st.Discard()
		requireContent(t, s, "a", two)

		require.NoError(t, accept(s, ballot(5), Record{Name: "a", Deleted: true}))
		requireClean(t, s, 0)
		lists, err := s.disk.list(listsDir)
		require.NoError(t, err)
		require.Empty(t, lists)
		files, bytes, _ := s.Usage()
		require.Zero(t, files)
		require.Zero(t, bytes)
		s = reopen()
		r, err = s.Register("a")
		require.NoError(t, err)
		require.True(t, r.Record.Deleted)

		done, err := s.Forget("a", ballot(4))
		require.NoError(t, err)
		require.False(t, done, "another ballot")
		_, err = s.Update("a", func(r Register) (Register, error) { r.Promised = ballot(9); return r, nil })
		require.NoError(t, err)
		done, err = s.Forget("a", ballot(5))
		require.NoError(t, err)
		require.False(t, done, "a promise is out")
		require.NoError(t, accept(s, ballot(9), Record{Name: "a", Deleted: true}))
		done, err = s.Forget("a", ballot(9))
		require.NoError(t, err)
		require.True(t, done)
		r, err = s.Register("a")
		require.NoError(t, err)
		require.Zero(t, r)
		require.NoError(t, put(s, ballot(1), "b", one))
		done, err = s.Forget("b", ballot(1))
		require.NoError(t, err)
		require.False(t, done, "no tombstone")
	})
}

func TestLocked(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, _ *Store, _ func() *Store) {
		if o, ok := d.(*osDisk); ok {
			d = OSDisk(o.dir) // as another process would
		}
		_, err := Open(Options{Disk: d, Positions: testPositions})
		require.ErrorIs(t, err, ErrLocked)
	})
}

func TestClosed(t *testing.T) {
	s, err := Open(Options{Disk: NewMemDisk(), Positions: testPositions})
	require.NoError(t, err)
	st, err := s.Stage("a", 1)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	st.Discard()
	require.ErrorIs(t, put(s, ballot(1), "a", nil), ErrClosed)
	_, err = s.Register("a")
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.NextCounter(1)
	require.ErrorIs(t, err, ErrClosed)
	for _, err := range s.Registers([20]byte{}, [20]byte{}, Cursor{}) {
		require.ErrorIs(t, err, ErrClosed)
	}
	_, err = Open(Options{Disk: NewMemDisk()})
	require.Error(t, err, "no positions")
}

// TestManyAtOnce has many goroutines change few names at once, for the race
// detector, and wants every change to have built on the one before.
func TestManyAtOnce(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, reopen func() *Store) {
		const workers, rounds, names = 16, 8, 3
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := range rounds {
					name := fmt.Sprint((w + i) % names)
					data := content(byte(w), 100+i)
					rec := recordOf(name, data)
					st, err := stage(s, rec, data)
					if !assert.NoError(t, err) {
						return
					}
					_, err = s.Update(name, func(r Register) (Register, error) {
						next := rec
						next.Changes = 1
						if r.Record != nil {
							next.Changes = r.Record.Changes + 1
						}
						b := ballot(next.Changes)
						return Register{Promised: b, Accepted: b, Record: &next}, nil
					})
					assert.NoError(t, err)
					st.Discard()
					if _, err := read(s, name); err != nil {
						assert.ErrorIs(t, err, ErrNotFound) // replaced between register and content
					}
				}
			})
		}
		all.Wait()
		for range 2 {
			changes := uint64(0)
			for i := range names {
				r, err := s.Register(fmt.Sprint(i))
				require.NoError(t, err)
				changes += r.Record.Changes
				_, err = read(s, fmt.Sprint(i))
				require.NoError(t, err)
			}
			require.EqualValues(t, workers*rounds, changes)
			requireClean(t, s, names)
			require.Empty(t, s.gates.m)
			s = reopen()
		}
	})
}
