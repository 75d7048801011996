package filestore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// creationOf accepts data under a name that must be new.
func creationOf(name string, b Ballot, data []byte) Creation {
	rec := recordOf(name, data)
	return Creation{Name: name, Content: data, Decide: func(r Register) (Register, error) {
		if r.Record != nil {
			return r, fmt.Errorf("%q is not new", name)
		}
		return Register{Promised: b, Accepted: b, Record: &rec, Held: true}, nil
	}}
}

func TestCreate(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, reopen func() *Store) {
		s.small = 64 << 10
		contents := map[string][]byte{"empty": {}}
		for i := range 50 {
			contents[fmt.Sprint("file ", i)] = content(byte(i), 1+i*100)
		}
		var list []Creation
		total := 0
		for name, data := range contents {
			list = append(list, creationOf(name, ballot(1), data))
			total += len(data)
		}
		for i, err := range s.Create(list) {
			require.NoError(t, err, list[i].Name)
		}
		for range 3 { // from the journal, from the files, after a start
			files, bytes, _ := s.Usage()
			require.Equal(t, len(contents), files)
			require.EqualValues(t, total, bytes)
			for name, data := range contents {
				requireContent(t, s, name, data)
				r, err := s.Register(name)
				require.NoError(t, err)
				require.True(t, r.Held)
				require.Equal(t, ballot(1), r.Accepted)
			}
			requireClean(t, s, len(contents))
			require.Zero(t, s.space.reserved)
			require.Zero(t, s.smallStaged)
			require.Empty(t, s.gates.m)
			require.NoError(t, s.Flush())
			s = reopen()
		}
	})
}

// Many creations cost one commit, and each that cannot be leaves the others alone.
func TestCreateTellsEachWhatBecameOfIt(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		s.small = 64 << 10
		require.NoError(t, put(s, ballot(1), "known", []byte("old")))
		stranger, err := d.create(visible(t, s, "occupied"))
		require.NoError(t, err)
		require.NoError(t, stranger.Close())
		refused := errors.New("no")
		wrong := creationOf("wrong", ballot(2), []byte("one"))
		wrong.Content = []byte("other")
		another := creationOf("another", ballot(2), []byte("one"))
		another.Name = "yet another"
		empty := creationOf("empty", ballot(2), nil)
		over := creationOf("known", ballot(3), []byte("two"))
		decide := over.Decide
		over.Decide = func(Register) (Register, error) { return decide(Register{}) }
		rec := recordOf("empty", nil)
		rec.SHA256 = Hash{1}
		empty.Decide = func(Register) (Register, error) { return Register{Accepted: ballot(2), Record: &rec}, nil }
		list := []Creation{
			creationOf("new", ballot(2), []byte("one")),
			creationOf("known", ballot(2), []byte("one")),
			creationOf("occupied", ballot(2), []byte("one")),
			creationOf("a/../b", ballot(2), []byte("one")),
			{Name: "refused", Decide: func(r Register) (Register, error) { return r, refused }},
			{Name: "nothing", Decide: func(r Register) (Register, error) { return r, nil }},
			wrong, another, empty,
			creationOf("large", ballot(2), content(1, 64<<10+1)),
			creationOf("new", ballot(3), []byte("two")),
			creationOf("also new", ballot(2), []byte("three")),
			over,
		}
		errs := s.Create(list)
		for i, want := range []error{
			nil, nil, ErrCollision, ErrBadName, refused, errNotNew, ErrCorrupt, errNotNew, ErrCorrupt, errNoMemory, nil, nil, errNotNew,
		} {
			switch {
			case want != nil:
				assert.ErrorIs(t, errs[i], want, list[i].Name)
			case i == 1 || i == 10:
				assert.ErrorContains(t, errs[i], "is not new")
			default:
				assert.NoError(t, errs[i], list[i].Name)
			}
		}
		requireContent(t, s, "new", []byte("one"))
		requireContent(t, s, "known", []byte("old"))
		requireContent(t, s, "also new", []byte("three"))
		for _, name := range []string{"refused", "nothing", "wrong", "another", "yet another", "empty", "large"} {
			requireContent(t, s, name, nil)
		}
		require.Zero(t, s.space.reserved)
		require.Zero(t, s.smallStaged)
	})
}

func TestCreateOnAFullDisk(t *testing.T) {
	disk := NewMemDisk()
	s, err := Open(Options{Disk: disk, Positions: testPositions, Small: 64 << 10})
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	disk.SetCapacity(disk.used + 1500)
	errs := s.Create([]Creation{
		creationOf("a", ballot(1), content(1, 1000)), creationOf("b", ballot(1), content(2, 1000)), creationOf("c", ballot(1), content(3, 400)),
	})
	slices.SortFunc(errs, func(a, b error) int { return len(fmt.Sprint(a)) - len(fmt.Sprint(b)) })
	require.ErrorIs(t, errs[2], ErrNoSpace)
	require.Zero(t, s.space.reserved)
	require.Zero(t, s.smallStaged)
}

func TestCreateWhenACommitFails(t *testing.T) {
	disk := NewMemDisk()
	s, err := Open(Options{Disk: disk, Positions: testPositions, Small: 64 << 10})
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	disk.SetFault(func(op Op, _ string) error {
		if op == OpSync {
			return errors.New("failed")
		}
		return nil
	})
	for _, err := range s.Create([]Creation{creationOf("a", ballot(1), []byte("one")), creationOf("b", ballot(1), []byte("two"))}) {
		require.ErrorIs(t, err, ErrDegraded)
	}
	require.ErrorIs(t, s.Create([]Creation{creationOf("c", ballot(1), []byte("one"))})[0], ErrDegraded)
}

// Lists that name the same files in different orders do not wait for each other for ever.
func TestCreateFromManySides(t *testing.T) {
	onDisks(t, func(t *testing.T, _ Disk, s *Store, _ func() *Store) {
		s.small = 64 << 10
		var all sync.WaitGroup
		var mu sync.Mutex
		created := map[string]int{}
		for w := range 8 {
			all.Go(func() {
				var list []Creation
				for i := range 20 {
					list = append(list, creationOf(fmt.Sprint(i), ballot(uint64(1+w)), content(byte(w), 100+i)))
				}
				if w%2 == 0 {
					slices.Reverse(list)
				}
				for i, err := range s.Create(list) {
					if err == nil {
						mu.Lock()
						created[list[i].Name]++
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		require.Len(t, created, 20)
		for name, times := range created {
			require.Equal(t, 1, times, name)
			_, err := read(s, name)
			require.NoError(t, err)
		}
		requireClean(t, s, 20)
	})
}

// Where the file system takes different names for one, one of them is refused.
func TestCreateOnAFoldingFileSystem(t *testing.T) {
	s := smallStore(t)
	s.folds = true
	errs := s.Create([]Creation{creationOf("a", ballot(1), []byte("one")), creationOf("b", ballot(1), []byte("two"))})
	require.NoError(t, errors.Join(errs...))
	requireContent(t, s, "a", []byte("one"))
	requireContent(t, s, "b", []byte("two"))
	require.Empty(t, s.gates.m)
}
