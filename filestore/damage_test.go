package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overwrite changes a file behind the store's back.
func overwrite(t *testing.T, d Disk, at string, change func([]byte) []byte) {
	t.Helper()
	switch d := d.(type) {
	case *osDisk:
		data, err := os.ReadFile(d.path(at))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(d.path(at), change(data), 0o600))
	case *MemDisk:
		n, err := d.node("overwrite", at)
		require.NoError(t, err)
		n.data = change(bytes.Clone(n.data))
	}
}

// quarantined returns the names of what is in quarantine.
func quarantined(t *testing.T, d Disk) []string {
	t.Helper()
	var names []string
	dirs, err := d.list(quarantineDir)
	require.NoError(t, err)
	for _, dir := range dirs {
		files, err := d.list(path.Join(quarantineDir, dir.Name()))
		require.NoError(t, err)
		for _, f := range files {
			names = append(names, f.Name())
		}
	}
	return names
}

func TestDamageIsNeverServed(t *testing.T) {
	data := content(3, 2*ChunkSize+9)
	for name, spoil := range map[string]func([]byte) []byte{
		"flipped":   func(p []byte) []byte { p[ChunkSize+7] ^= 4; return p },
		"truncated": func(p []byte) []byte { return p[:ChunkSize] },
		"longer":    func(p []byte) []byte { return append(p, 0) },
		"empty":     func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			onDisks(t, func(t *testing.T, d Disk, s *Store, reopen func() *Store) {
				require.NoError(t, put(s, ballot(1), "a", data))
				overwrite(t, d, visible(t, s, "a"), spoil)
				_, err := read(s, "a")
				require.ErrorIs(t, err, ErrCorrupt)
				for range 2 {
					r, err := s.Register("a")
					require.NoError(t, err)
					require.False(t, r.Held)
					require.Equal(t, ballot(1), r.Accepted)
					_, err = read(s, "a")
					require.ErrorIs(t, err, ErrNotFound)
					require.Equal(t, []string{"a"}, quarantined(t, d))
					files, bytes, _ := s.Usage()
					require.Zero(t, files)
					require.Zero(t, bytes)
					s = reopen()
				}
				// It is healed like content that was never there.
				require.NoError(t, put(s, ballot(2), "a", data))
				requireContent(t, s, "a", data)
			})
		})
	}
}

func TestDamagedStageAndSwappedFiles(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		rec := recordOf("a", []byte("one"))
		st, err := stage(s, rec, []byte("one"))
		require.NoError(t, err)
		overwrite(t, d, st.path, func([]byte) []byte { return []byte("0ne") })
		c, err := s.Open("a", rec.SHA256)
		require.NoError(t, err)
		_, err = c.ReadChunk(0, make([]byte, ChunkSize))
		require.ErrorIs(t, err, ErrCorrupt)
		require.NoError(t, c.Close())
		require.ErrorIs(t, accept(s, ballot(1), rec), ErrNoContent)
		st.Discard()

		require.NoError(t, put(s, ballot(1), "a", []byte("one")))
		require.NoError(t, put(s, ballot(1), "b", []byte("two")))
		overwrite(t, d, visible(t, s, "a"), func([]byte) []byte { return []byte("two") })
		_, err = read(s, "a")
		require.ErrorIs(t, err, ErrCorrupt)
		requireContent(t, s, "b", []byte("two"))
	})
}

// TestOldReaderCondemnsOnlyItsCopy has damage found through a copy that has
// been replaced by a good one meanwhile.
func TestOldReaderCondemnsOnlyItsCopy(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		data := []byte("one")
		rec := recordOf("a", data)
		require.NoError(t, put(s, ballot(1), "a", data))
		c, err := s.Open("a", rec.SHA256)
		require.NoError(t, err)
		overwrite(t, d, visible(t, s, "a"), func([]byte) []byte { return []byte("0ne") })
		require.NoError(t, s.Drop("a", acceptedAt(t, s, "a")))
		require.NoError(t, put(s, ballot(2), "a", data))
		_, err = c.ReadChunk(0, make([]byte, 3))
		require.ErrorIs(t, err, ErrCorrupt)
		require.NoError(t, c.Close())
		requireContent(t, s, "a", data)
	})
}

func TestHashListIsRebuilt(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		data := content(3, 2*ChunkSize+9)
		rec := recordOf("a", data)
		require.NoError(t, put(s, ballot(1), "a", data))
		for _, spoil := range []func(){
			func() { require.NoError(t, d.remove(listPath(rec.Root))) },
			func() { overwrite(t, d, listPath(rec.Root), func(p []byte) []byte { p[0]++; return p }) },
			func() { overwrite(t, d, listPath(rec.Root), func(p []byte) []byte { return p[:40] }) },
		} {
			spoil()
			requireContent(t, s, "a", data)
			hashes, err := s.readList(rec.Root, rec.Size)
			require.NoError(t, err)
			require.Equal(t, rec.Root, RootOf(rec.Size, hashes))
		}
	})
}

func TestReadChunkBounds(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, _ func() *Store) {
		data := content(1, ChunkSize+3)
		require.NoError(t, put(s, ballot(1), "a", data))
		c, err := s.Open("a", recordOf("a", data).SHA256)
		require.NoError(t, err)
		defer func() { assert.NoError(t, c.Close()) }()
		buf := make([]byte, ChunkSize)
		n, err := c.ReadChunk(1, buf)
		require.NoError(t, err)
		require.Equal(t, data[ChunkSize:], buf[:n])
		for _, i := range []int{-1, 2} {
			_, err = c.ReadChunk(i, buf)
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrCorrupt)
		}
		_, err = c.ReadChunk(0, buf[:5])
		require.Error(t, err)
		n, err = c.ReadAt(buf[:10], ChunkSize-2)
		require.EqualError(t, err, "EOF")
		require.Equal(t, data[ChunkSize-2:], buf[:n])
		require.True(t, s.Holds("a", recordOf("a", data).SHA256), "a bad request is no damage")
	})
}

func TestRemovedByHand(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, reopen func() *Store) {
		for _, name := range []string{"a", "b", "c"} {
			require.NoError(t, put(s, ballot(1), name, []byte(name)))
			require.NoError(t, d.remove(visible(t, s, name)))
		}
		_, err := read(s, "a")
		require.ErrorIs(t, err, ErrNotFound)
		require.ErrorIs(t, accept(s, ballot(2), recordOf("b", []byte("b"))), ErrNoContent)
		s = reopen()
		for _, name := range []string{"a", "b", "c"} {
			r, err := s.Register(name)
			require.NoError(t, err)
			require.False(t, r.Held)
			require.NotNil(t, r.Record)
		}
		require.NoError(t, put(s, ballot(3), "a", []byte("a")))
		requireContent(t, s, "a", []byte("a"))
	})
}

func TestStrangers(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, reopen func() *Store) {
		stranger := func(name string) {
			f, err := d.create(visible(t, s, name))
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		stranger("a")
		_, err := s.Stage("a", 1)
		require.ErrorIs(t, err, ErrCollision)
		// One that comes after the stage is not overwritten either.
		rec := recordOf("b", []byte("b"))
		st, err := stage(s, rec, []byte("b"))
		require.NoError(t, err)
		stranger("b")
		require.ErrorIs(t, accept(s, ballot(1), rec), ErrCollision)
		st.Discard()
		require.NoError(t, d.mkdir(path.Join(positionDir(testPositions[0]), tempPrefix+"dir")))
		s = reopen()
		require.ElementsMatch(t, []string{"a", "b", tempPrefix + "dir"}, quarantined(t, d))
		require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	})
}

func TestSymbolicLinks(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("one"), 0o600))
	s, err := Open(Options{Dir: dir, Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("one")))
	require.NoError(t, os.Remove(s.Path("a")))
	if err := os.Symlink(outside, s.Path("a")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	_, err = read(s, "a")
	require.Error(t, err, "the bytes are right but the file is not ours")
	require.NoError(t, s.Close())
	s, err = Open(Options{Dir: dir, Positions: testPositions})
	require.NoError(t, err)
	_, err = read(s, "a")
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, s.Close())
	data, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "one", string(data))
}

func TestTableRebuilt(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, d Disk){
		"lost": func(t *testing.T, d Disk) {
			if d, ok := d.(*osDisk); ok {
				require.NoError(t, os.Remove(d.path(tableFile)))
				return
			}
			require.NoError(t, d.setTableAside())
		},
		"damaged entry": func(t *testing.T, d Disk) {
			unlock, err := d.lock()
			require.NoError(t, err)
			defer unlock()
			tab, err := d.openTable(false)
			require.NoError(t, err)
			require.NoError(t, tab.apply([]write{{registerKey("a"), []byte("no register")}}))
			require.NoError(t, tab.close())
		},
		"damaged file": func(t *testing.T, d Disk) {
			if d, ok := d.(*osDisk); ok {
				require.NoError(t, os.WriteFile(d.path(tableFile), bytes.Repeat([]byte("x"), 70000), 0o600))
				return
			}
			require.NoError(t, d.setTableAside())
		},
		"truncated file": func(t *testing.T, d Disk) {
			if d, ok := d.(*osDisk); ok {
				require.NoError(t, os.Truncate(d.path(tableFile), 8192))
				return
			}
			require.NoError(t, d.setTableAside())
		},
	} {
		t.Run(name, func(t *testing.T) {
			onDisks(t, func(t *testing.T, d Disk, s *Store, reopen func() *Store) {
				if !s.XattrOK() {
					t.Skip("no extended attributes here")
				}
				data := content(1, ChunkSize+1)
				require.NoError(t, put(s, ballot(3), "a/b", data))
				require.NoError(t, put(s, ballot(4), "b", []byte("b")))
				require.NoError(t, put(s, ballot(4), "gone", []byte("gone")))
				require.NoError(t, accept(s, ballot(5), Record{Name: "gone", Deleted: true}))
				last, err := s.NextCounter(0)
				require.NoError(t, err)
				ahead := last + 3*uint64(clocksApart.Microseconds()) // when this clock was right
				require.NoError(t, put(s, ballot(ahead), "ahead", []byte("ahead")))
				require.Zero(t, s.Floor())
				require.NoError(t, s.Close())
				lose(t, d)
				s = reopen()
				require.True(t, s.Rebuilt())
				floor := s.Floor()
				require.Greater(t, floor, last+uint64(clocksApart.Microseconds()/2), "whatever another's clock said")
				require.Greater(t, floor, ahead)
				next, err := s.NextCounter(0)
				require.NoError(t, err)
				require.Greater(t, next, floor)
				r, err := s.Register("a/b")
				require.NoError(t, err)
				require.Equal(t, recordOf("a/b", data), *r.Record)
				require.Equal(t, ballot(3), r.Accepted)
				require.Equal(t, ballot(3), r.Promised)
				requireContent(t, s, "a/b", data)
				requireContent(t, s, "b", []byte("b"))
				r, err = s.Register("gone")
				require.NoError(t, err)
				require.Zero(t, r)
				require.Empty(t, quarantined(t, d))
				s = reopen()
				require.True(t, s.Rebuilt(), "until it is trusted")
				require.NoError(t, s.Trust())
				require.False(t, s.Rebuilt())
				s = reopen()
				require.False(t, s.Rebuilt())
				require.Equal(t, floor, s.Floor(), "for good")
				requireContent(t, s, "a/b", data)
			})
		})
	}
}

func TestWithoutAttributes(t *testing.T) {
	d := NewMemDisk()
	d.noAttrs = true
	s, err := Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.False(t, s.XattrOK())
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	require.NoError(t, s.Close())
	s, err = Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	requireContent(t, s, "a", []byte("a"))
	require.NoError(t, s.Close())
	require.NoError(t, d.setTableAside())
	s, err = Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.True(t, s.Rebuilt())
	requireContent(t, s, "a", nil)
	require.Equal(t, []string{"a"}, quarantined(t, d))
	require.NoError(t, s.Close())
}

func TestNamesTheFileSystemTakesForOne(t *testing.T) {
	d := NewMemDisk()
	d.folds = true
	open := func() *Store {
		s, err := Open(Options{Disk: d, Positions: testPositions[:1]})
		require.NoError(t, err)
		require.True(t, s.folds)
		return s
	}
	s := open()
	// Both staged before either is there.
	one, err := stage(s, recordOf("Name", []byte("1")), []byte("1"))
	require.NoError(t, err)
	two, err := stage(s, recordOf("naMe", []byte("2")), []byte("2"))
	require.NoError(t, err)
	require.NoError(t, accept(s, ballot(1), *one.record))
	require.ErrorIs(t, accept(s, ballot(1), *two.record), ErrCollision)
	one.Discard()
	two.Discard()
	requireContent(t, s, "Name", []byte("1"))
	requireContent(t, s, "naMe", nil)
	// Once the first is gone the other may come, and the first's tombstone
	// does not take it away.
	require.NoError(t, accept(s, ballot(2), Record{Name: "Name", Deleted: true}))
	require.NoError(t, put(s, ballot(1), "naMe", []byte("2")))
	require.NoError(t, accept(s, ballot(3), Record{Name: "Name", Deleted: true}))
	require.ErrorIs(t, put(s, ballot(4), "Name", []byte("1")), ErrCollision)
	requireContent(t, s, "naMe", []byte("2"))
	require.NoError(t, s.Close())
	s = open()
	requireContent(t, s, "naMe", []byte("2"))
	require.NoError(t, s.Close())
}

// openHook is a Disk that does something before a path is opened, once.
type openHook struct {
	*MemDisk
	at string
	do func()
}

func (h *openHook) open(path string) (file, error) {
	if path == h.at {
		h.at = ""
		h.do()
	}
	return h.MemDisk.open(path)
}

// TestReplacedWhileOpened has content replaced between the look into the
// register and the opening of the file.
func TestReplacedWhileOpened(t *testing.T) {
	for name, then := range map[string][]byte{"other": []byte("two"), "same": []byte("one")} {
		t.Run(name, func(t *testing.T) {
			d := &openHook{MemDisk: NewMemDisk()}
			s, err := Open(Options{Disk: d, Positions: testPositions})
			require.NoError(t, err)
			sum := recordOf("a", []byte("one")).SHA256
			require.NoError(t, put(s, ballot(1), "a", []byte("one")))
			d.at, d.do = visible(t, s, "a"), func() {
				require.NoError(t, s.Drop("a", acceptedAt(t, s, "a")))
				require.NoError(t, put(s, ballot(2), "a", then))
			}
			c, err := s.Open("a", sum)
			if name == "other" {
				require.ErrorIs(t, err, ErrNotFound)
			} else {
				require.NoError(t, err)
				_, err = c.ReadChunk(0, make([]byte, 3))
				require.NoError(t, err)
				require.NoError(t, c.Close())
			}
			requireContent(t, s, "a", then)
			require.Empty(t, quarantined(t, d))
			require.NoError(t, s.Close())
		})
	}
}

// yielding is a Disk that lets others run after each look at a path.
type yielding struct{ *MemDisk }

func (y yielding) stat(path string) (fs.FileInfo, error) {
	info, err := y.MemDisk.stat(path)
	for range 20 {
		runtime.Gosched()
	}
	return info, err
}

// TestNamesForOneAtOnce has such names race for the one place.
func TestNamesForOneAtOnce(t *testing.T) {
	d := NewMemDisk()
	d.folds = true
	s, err := Open(Options{Disk: yielding{d}, Positions: testPositions[:1]})
	require.NoError(t, err)
	for round := range 60 {
		base := fmt.Sprintf("name%d", round)
		names := []string{base, strings.ToUpper(base), strings.ToTitle(base[:1]) + base[1:]}
		var all sync.WaitGroup
		var stages []*Stage
		for _, name := range names {
			st, err := stage(s, recordOf(name, []byte(name)), []byte(name))
			require.NoError(t, err)
			stages = append(stages, st)
		}
		for _, st := range stages {
			all.Go(func() {
				defer st.Discard()
				if err := accept(s, ballot(1), *st.record); err != nil {
					assert.ErrorIs(t, err, ErrCollision)
				}
			})
		}
		all.Wait()
		held := 0
		for _, name := range names {
			if s.Holds(name, recordOf(name, []byte(name)).SHA256) {
				held++
				requireContent(t, s, name, []byte(name))
			}
		}
		require.Equal(t, 1, held)
	}
	require.NoError(t, s.Close())
}

func TestPositionsMoved(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: [][20]byte{{1}}})
	require.NoError(t, err)
	before := visible(t, s, "a")
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	require.NoError(t, s.Close())
	s, err = Open(Options{Disk: d, Positions: [][20]byte{{77}, {200}}})
	require.NoError(t, err)
	requireContent(t, s, "a", []byte("a"))
	require.NotEqual(t, before, visible(t, s, "a"))
	_, err = d.stat(before)
	require.True(t, errors.Is(err, fs.ErrNotExist))
	require.NoError(t, s.Close())
}

func TestUnknownModeAndTime(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		rec := recordOf("a", nil)
		rec.Mode, rec.Modified = 0, 0
		st, err := stage(s, rec, nil)
		require.NoError(t, err)
		defer st.Discard()
		require.NoError(t, accept(s, ballot(1), rec))
		info, err := d.stat(visible(t, s, "a"))
		require.NoError(t, err)
		require.EqualValues(t, 0o644, info.Mode().Perm())
		require.True(t, info.ModTime().After(time.Unix(1_000_000, 0)))
	})
}
