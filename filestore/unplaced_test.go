package filestore

import (
	"math/rand/v2"
	"path"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Small content whose file cannot be made when it is accepted, for want of a descriptor
// or an inode, is in the journal: whatever happens next, it is there, and an older
// version's file is not taken for it.
func TestSmallContentWithoutAFile(t *testing.T) {
	older, newer := []byte("older"), []byte("newer")
	again := func(t *testing.T, s *Store) {
		require.NoError(t, accept(s, ballot(3), recordOf("a", newer)))
	}
	for name, next := range map[string]func(t *testing.T, s *Store){
		"read":           func(*testing.T, *Store) {},
		"verified":       func(t *testing.T, s *Store) { _, err := s.Verify("a", nil); require.NoError(t, err) },
		"flushed":        func(t *testing.T, s *Store) { require.NoError(t, s.Flush()) },
		"accepted again": again,
		"accepted again and flushed": func(t *testing.T, s *Store) {
			again(t, s)
			require.NoError(t, s.Flush())
		},
	} {
		for _, before := range [][]byte{nil, older} {
			t.Run(name+map[bool]string{true: " over another version"}[before != nil], func(t *testing.T) {
				d := NewMemDisk()
				o := Options{Disk: d, Positions: testPositions, Small: ChunkSize, OnDamage: func(string) { t.Error("damaged") }}
				s, err := Open(o)
				require.NoError(t, err)
				if before != nil {
					require.NoError(t, put(s, ballot(1), "a", before))
				}
				withoutFiles(d)
				require.ErrorIs(t, put(s, ballot(2), "a", newer), syscall.EMFILE)
				d.SetFault(nil)
				r, err := s.Register("a")
				require.NoError(t, err)
				require.True(t, r.Held)
				next(t, s)
				requireContent(t, s, "a", newer)
				d.Crash(rand.New(rand.NewPCG(1, 1)))
				s, err = Open(o)
				require.NoError(t, err)
				requireContent(t, s, "a", newer)
				requireClean(t, s, 1)
				require.NoError(t, s.Close())
			})
		}
	}
}

// withoutFiles has the disk make no temporary files.
func withoutFiles(d *MemDisk) {
	d.SetFault(func(op Op, p string) error {
		if op == OpCreate && isTemp(path.Base(p)) {
			return syscall.EMFILE
		}
		return nil
	})
}

// What takes the place of such content leaves nothing of it, nor of what was before.
func TestSmallContentWithoutAFileIsReplaced(t *testing.T) {
	for name, next := range map[string]func(t *testing.T, s *Store){
		"deleted": func(t *testing.T, s *Store) {
			require.NoError(t, accept(s, ballot(3), Record{Name: "a", Deleted: true}))
		},
		"dropped": func(t *testing.T, s *Store) { require.NoError(t, s.Drop("a", ballot(2))) },
		"newest":  func(t *testing.T, s *Store) { require.NoError(t, put(s, ballot(3), "a", []byte("newest"))) },
	} {
		t.Run(name, func(t *testing.T) {
			d := NewMemDisk()
			s, err := Open(Options{Disk: d, Positions: testPositions, Small: ChunkSize})
			require.NoError(t, err)
			require.NoError(t, put(s, ballot(1), "a", []byte("older")))
			withoutFiles(d)
			require.ErrorIs(t, put(s, ballot(2), "a", []byte("newer")), syscall.EMFILE)
			d.SetFault(nil)
			next(t, s)
			require.NoError(t, s.Flush())
			if name == "newest" {
				requireContent(t, s, "a", []byte("newest"))
				requireClean(t, s, 1)
			} else {
				requireClean(t, s, 0)
			}
			require.Empty(t, s.unflushed)
			for _, g := range s.tab.generations() {
				for _, c := range g.changes {
					require.Zero(t, c.content.size, "content that nobody needs")
				}
			}
			require.NoError(t, s.Close())
		})
	}
}

// Content that is damaged before its file is durable is made again of what the journal has.
func TestDamageBeforeAFlush(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: testPositions, Small: ChunkSize, OnDamage: func(string) { t.Error("lost") }})
	require.NoError(t, err)
	data := content(1, 100)
	require.NoError(t, put(s, ballot(1), "a", data))
	require.NoError(t, d.Damage(visible(t, s, "a"), 7))
	_, err = s.Verify("a", nil)
	require.ErrorIs(t, err, ErrCorrupt)
	requireContent(t, s, "a", data)
	_, err = s.Verify("a", nil)
	require.NoError(t, err)
	require.NoError(t, s.Flush())
	requireContent(t, s, "a", data)
	require.NoError(t, s.Close())
}

// Files that are created together stay in the journal, too, and are made with the next Flush.
func TestCreateWithoutFiles(t *testing.T) {
	d := NewMemDisk()
	o := Options{Disk: d, Positions: testPositions, Small: ChunkSize}
	s, err := Open(o)
	require.NoError(t, err)
	withoutFiles(d)
	for _, err := range s.Create([]Creation{creationOf("a", ballot(1), []byte("one")), creationOf("b", ballot(1), []byte("two"))}) {
		require.ErrorIs(t, err, syscall.EMFILE)
	}
	d.SetFault(nil)
	requireContent(t, s, "a", []byte("one"))
	requireClean(t, s, 0)
	require.NoError(t, s.Flush())
	require.Empty(t, s.unflushed)
	requireClean(t, s, 2)
	d.Crash(rand.New(rand.NewPCG(1, 1)))
	s, err = Open(o)
	require.NoError(t, err)
	requireContent(t, s, "a", []byte("one"))
	requireContent(t, s, "b", []byte("two"))
	require.NoError(t, s.Close())
}

// Where the file system takes two names for one, the second waits until the first has its file.
func TestSmallContentWithoutAFileOnAFoldingFileSystem(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: [][20]byte{{1}}, Small: ChunkSize})
	require.NoError(t, err)
	s.folds = true
	withoutFiles(d)
	require.ErrorIs(t, put(s, ballot(1), "A", []byte("one")), syscall.EMFILE)
	d.SetFault(nil)
	require.ErrorIs(t, put(s, ballot(1), "a", []byte("two")), errNoFile)
	require.NoError(t, s.Flush())
	require.NoError(t, put(s, ballot(1), "a", []byte("two")))
	requireContent(t, s, "A", []byte("one"))
	require.NoError(t, s.Close())
}

// duringFlush is a disk that has something happen when it has made files durable.
type duringFlush struct {
	*MemDisk
	do func()
}

func (d *duringFlush) flush(files []string) error {
	err := d.MemDisk.flush(files)
	d.do()
	return err
}

// A flush under way lets go no content whose file is found damaged, and made anew, meanwhile.
func TestDamageDuringAFlush(t *testing.T) {
	d := &duringFlush{MemDisk: NewMemDisk()}
	o := Options{Disk: d, Positions: testPositions, Small: ChunkSize}
	s, err := Open(o)
	require.NoError(t, err)
	data := content(1, 100)
	require.NoError(t, put(s, ballot(1), "a", data))
	require.NoError(t, d.Damage(visible(t, s, "a"), 7))
	d.do = func() {
		_, err := s.Verify("a", nil)
		require.ErrorIs(t, err, ErrCorrupt)
	}
	require.NoError(t, s.Flush())
	d.do = func() {}
	d.Crash(rand.New(rand.NewPCG(1, 1)))
	s, err = Open(o)
	require.NoError(t, err)
	requireContent(t, s, "a", data)
	require.NoError(t, s.Close())
}
