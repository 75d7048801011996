package filestore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// keep is an Update that changes nothing.
func keep(r Register) (Register, error) { return r, nil }

// heal seals content for the record that a name's register has, as a node does
// that got it from another.
func heal(t *testing.T, s *Store, name string, data []byte) {
	t.Helper()
	st, err := stage(s, recordOf(name, data), data)
	require.NoError(t, err)
	defer st.Discard()
	r, err := s.Update(name, keep)
	require.NoError(t, err)
	require.True(t, r.Held)
}

// TestVerifyFindsDamage does everything to a file that can be done to one, and
// wants it found, told of once, and healed under the register it had.
func TestVerifyFindsDamage(t *testing.T) {
	data, other := content(3, 2*ChunkSize+9), content(4, 2*ChunkSize+9)
	for name, spoil := range map[string]func(t *testing.T, s *Store, d Disk, at string){
		"flipped": func(t *testing.T, _ *Store, d Disk, at string) {
			overwrite(t, d, at, func(p []byte) []byte { p[2*ChunkSize+8] ^= 1; return p })
		},
		"truncated": func(t *testing.T, _ *Store, d Disk, at string) {
			overwrite(t, d, at, func(p []byte) []byte { return p[:ChunkSize] })
		},
		"grown": func(t *testing.T, _ *Store, d Disk, at string) {
			overwrite(t, d, at, func(p []byte) []byte { return append(p, 0) })
		},
		"removed": func(t *testing.T, _ *Store, d Disk, at string) { require.NoError(t, d.remove(at)) },
		"swapped": func(t *testing.T, s *Store, d Disk, at string) {
			require.NoError(t, put(s, ballot(1), "other", other))
			require.NoError(t, d.rename(visible(t, s, "other"), at))
		},
		"a directory": func(t *testing.T, _ *Store, d Disk, at string) {
			require.NoError(t, d.remove(at))
			require.NoError(t, d.mkdir(at))
		},
		"a link": func(t *testing.T, _ *Store, d Disk, at string) {
			os, ok := d.(*osDisk)
			if !ok {
				t.Skip("no links")
			}
			require.NoError(t, d.rename(at, "elsewhere"))
			link(t, os.path("elsewhere"), os.path(at))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onDisks(t, func(t *testing.T, d Disk, s *Store, reopen func() *Store) {
				var told []string
				s.onDamage = func(name string) { told = append(told, name) }
				require.NoError(t, put(s, ballot(1), "a", data))
				n, err := s.Verify("a", nil)
				require.NoError(t, err)
				require.EqualValues(t, len(data), n)
				spoil(t, s, d, visible(t, s, "a"))
				_, err = s.Verify("a", nil)
				require.ErrorIs(t, err, ErrCorrupt)
				requireContentGone(t, s, "a")
				_, err = s.Verify("a", nil)
				require.ErrorIs(t, err, ErrNotFound)
				require.NotErrorIs(t, err, ErrCorrupt)
				require.Equal(t, []string{"a"}, told)
				heal(t, s, "a", data)
				require.Equal(t, ballot(1), acceptedAt(t, s, "a"))
				_, err = s.Verify("a", nil)
				require.NoError(t, err)
				s = reopen()
				requireContent(t, s, "a", data)
			})
		})
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Skip("no symbolic links here:", err)
	}
}

// TestVerifyMends wants what stands beside the content put right.
func TestVerifyMends(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		data := content(1, ChunkSize+1)
		rec := recordOf("a", data)
		require.NoError(t, put(s, ballot(1), "a", data))
		require.NoError(t, put(s, ballot(1), "b", []byte("b")))
		list := listPath(rec.Root)
		overwrite(t, d, list, func(p []byte) []byte { p[0] ^= 1; return p })
		_, err := s.Verify("a", nil)
		require.NoError(t, err)
		_, err = s.readList(rec.Root, rec.Size)
		require.NoError(t, err)

		if !s.XattrOK() {
			t.Skip("no extended attributes here")
		}
		attr := func(name string) []byte {
			f, err := d.open(visible(t, s, name))
			require.NoError(t, err)
			value, err := f.attr()
			require.NoError(t, err)
			require.NoError(t, f.Close())
			return value
		}
		right, wrong := attr("a"), attr("b")
		for _, value := range [][]byte{wrong, right[1:], nil} {
			f, err := d.open(visible(t, s, "a"))
			require.NoError(t, err)
			require.NoError(t, f.setAttr(value))
			require.NoError(t, f.Close())
			_, err = s.Verify("a", nil)
			require.NoError(t, err)
			require.Equal(t, right, attr("a"))
		}
	})
}

// TestVerifyEnds wants the pace to be asked before each chunk and heeded.
func TestVerifyEnds(t *testing.T) {
	s, err := Open(Options{Disk: NewMemDisk(), Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", content(1, 2*ChunkSize+5)))
	var steps []int
	stop := errors.New("stop")
	n, err := s.Verify("a", func(n int) error {
		if steps = append(steps, n); len(steps) == 3 {
			return stop
		}
		return nil
	})
	require.ErrorIs(t, err, stop)
	require.EqualValues(t, 2*ChunkSize, n)
	require.Equal(t, []int{ChunkSize, ChunkSize, 5}, steps)
	_, err = s.Verify("b", nil)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, s.Close())
}

// TestShortageIsNoDamage has the system run out of file descriptors: that says
// nothing of the files.
func TestShortageIsNoDamage(t *testing.T) {
	d := NewMemDisk()
	s, err := Open(Options{Disk: d, Positions: testPositions})
	require.NoError(t, err)
	require.NoError(t, put(s, ballot(1), "a", []byte("a")))
	failing(d, OpRead, "", syscall.EMFILE)
	_, err = s.Verify("a", nil)
	require.ErrorIs(t, err, syscall.EMFILE)
	require.NotErrorIs(t, err, ErrCorrupt)
	d.SetFault(nil)
	requireContent(t, s, "a", []byte("a"))
	require.NoError(t, s.Close())
}

// TestDamagedTable flips a bit of a register while the store is open. Nothing
// is decided on it, what is whole is still given out, and the next Open rebuilds.
func TestDamagedTable(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, reopen func() *Store) {
		if !s.XattrOK() {
			t.Skip("no extended attributes here")
		}
		for _, name := range []string{"spoilt", "whole"} {
			require.NoError(t, put(s, ballot(1), name, []byte(name)))
		}
		require.NoError(t, s.VerifyTable())
		require.NoError(t, s.flush()) // out of the journal
		switch d := d.(type) {
		case *MemDisk:
			i, found := d.tab.find(registerKey("spoilt"))
			require.True(t, found)
			d.tab.pairs[i].value[9] ^= 1
		case *osDisk:
			at := filepath.Join(d.dir, tableFile)
			raw, err := os.ReadFile(at)
			require.NoError(t, err)
			spoilt := bytes.ReplaceAll(raw, []byte("fspoilt"), []byte("fspoils")) // a CBOR string of six bytes
			require.NotEqual(t, raw, spoilt)
			f, err := os.OpenFile(at, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt(spoilt, 0)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		require.ErrorIs(t, s.VerifyTable(), ErrDegraded)
		require.ErrorIs(t, s.Degraded(), ErrDegraded)
		_, err := s.Register("spoilt")
		require.ErrorIs(t, err, ErrDegraded)
		_, err = s.Stage("new", 1)
		require.ErrorIs(t, err, ErrDegraded)
		var listed []string
		for e, err := range s.Registers([20]byte{}, [20]byte{}, Cursor{}) {
			require.NoError(t, err)
			listed = append(listed, e.Name)
		}
		require.Equal(t, []string{"whole"}, listed)
		requireContent(t, s, "whole", []byte("whole"))
		s = reopen()
		require.True(t, s.Rebuilt())
		require.NoError(t, s.Degraded())
		requireContent(t, s, "spoilt", []byte("spoilt"))
		requireContent(t, s, "whole", []byte("whole"))
	})
}

// TestDirectoryRemoved has somebody clear files/ away: what is stored next
// finds a place all the same.
func TestDirectoryRemoved(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, Positions: [][20]byte{{1}}})
	require.NoError(t, err)
	data := content(1, ChunkSize+1)
	require.NoError(t, put(s, ballot(1), "a", data))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, positionDir([20]byte{1}))))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, listsDir)))
	_, err = s.Verify("a", nil)
	require.ErrorIs(t, err, ErrCorrupt)
	heal(t, s, "a", data)
	requireContent(t, s, "a", data)
	_, err = os.Stat(filepath.Join(dir, listsDir))
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Close())
}
