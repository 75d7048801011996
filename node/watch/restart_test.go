package watch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (s *stage) stateFile() string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.state, "*.state"))
	require.NoError(s.t, err)
	require.Len(s.t, found, 1)
	return found[0]
}

func TestARestartReadsNothingThatHasNotChanged(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	want := map[string]string{}
	for i := range 1000 {
		name := fmt.Sprintf("%d/%d", i%20, i)
		s.write(name, "content "+name)
		want[name] = "content " + name
	}
	s.start()
	s.settles(want)
	assert.GreaterOrEqual(t, s.status().FilesRead, int64(1000))
	s.restart(func() {})
	s.settles(want)
	assert.Equal(t, 1000, s.status().Published)
	assert.Zero(t, s.status().FilesRead)

	s.restart(func() {
		s.write("0/0", "changed")
		s.write("new", "new")
		s.rename("1/1", "1/renamed")
		require.NoError(t, os.Remove(s.path("2/2")))
	})
	want["0/0"], want["new"], want["1/renamed"] = "changed", "new", "content 1/1"
	delete(want, "1/1")
	delete(want, "2/2")
	s.settles(want)
	assert.Contains(t, s.shelf.happened(), "copied 1/renamed")
	assert.LessOrEqual(t, s.status().FilesRead, int64(6))
}

// A state file that is damaged costs reading, and nothing else.
func TestADamagedStateIsReadAnew(t *testing.T) {
	t.Parallel()
	damage := map[string]func(raw []byte) []byte{
		"gone":       func([]byte) []byte { return nil },
		"empty":      func([]byte) []byte { return []byte{} },
		"cut off":    func(raw []byte) []byte { return raw[:len(raw)-20] },
		"zeros":      func(raw []byte) []byte { return make([]byte, len(raw)) },
		"bit flips":  func(raw []byte) []byte { raw[len(raw)/2] ^= 1; raw[len(raw)/3] ^= 1; return raw },
		"other form": func(raw []byte) []byte { return append([]byte("dhtfs watch 99\n"), raw...) },
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, Folder{OnDelete: Remove})
			want := map[string]string{}
			for i := range 10 {
				want[fmt.Sprint(i)] = "content " + fmt.Sprint(i)
				s.write(fmt.Sprint(i), want[fmt.Sprint(i)])
			}
			s.start()
			s.settles(want)
			before := s.shelf.happened()
			s.restart(func() {
				path := s.stateFile()
				raw, err := os.ReadFile(path)
				require.NoError(t, err)
				if raw = spoil(raw); raw == nil {
					require.NoError(t, os.Remove(path))
				} else {
					require.NoError(t, os.WriteFile(path, raw, 0o600))
				}
				s.write("new", "new")
			})
			want["new"] = "new"
			s.settles(want)
			assert.Equal(t, append(before, "stored new"), s.shelf.happened(), "nothing is stored again")
			require.NoError(t, os.Remove(s.path("3")))
			delete(want, "3")
			s.settles(want)
			s.restart(func() {})
			s.settles(want)
			assert.Zero(t, s.status().FilesRead)
		})
	}
}

func TestTheStateFileStaysShort(t *testing.T) {
	t.Parallel()
	folder := Folder{Dir: "/d"}
	path := filepath.Join(t.TempDir(), "state")
	j, entries, damaged, err := openJournal(path, "self", &folder)
	require.NoError(t, err)
	assert.Empty(t, entries)
	assert.Zero(t, damaged)
	latest := Entry{}
	all := func(yield func(edit) error) error { return yield(edit{"a", latest}) }
	require.NoError(t, j.append([]edit{{"lost", Entry{Ours: true}}})) // not open yet: rewrite has all
	longest := 0
	for i := range 5000 {
		if j.wordy(1) {
			require.NoError(t, j.rewrite(all))
		}
		latest = Entry{Print: Print{int64(i), 1, 2, 3}, Sum: [32]byte{1}, Version: [16]byte{2}, Ours: true, Attempt: [16]byte{3}, Disk: 1 << 63}
		require.NoError(t, j.append([]edit{{"a", latest}, {"gone", latest}, {path: "gone"}}))
		longest = max(longest, j.lines)
	}
	assert.Less(t, longest, 1010)
	j.close()
	_, entries, damaged, err = openJournal(path, "self", &folder)
	require.NoError(t, err)
	assert.Zero(t, damaged)
	assert.Equal(t, map[string]Entry{"a": latest}, entries)
	for _, other := range []struct {
		self   string
		folder Folder
	}{{"self", Folder{Dir: "/d", Prefix: "p"}}, {"self", Folder{Dir: "/e"}}, {"other", folder}} {
		_, entries, _, err = openJournal(path, other.self, &other.folder)
		require.NoError(t, err)
		assert.Empty(t, entries, "%+v", other)
	}
}

func TestWhileTheRingIsDownEverythingWaits(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	s.write("old", "0")
	s.start()
	s.settles(map[string]string{"old": "0"})
	s.shelf.setDown(true)
	want := map[string]string{}
	var order []string
	for i := range 6 {
		name := fmt.Sprint(9 - i)
		s.write(name, name)
		at := time.Now().Add(time.Duration(i-20) * time.Minute)
		require.NoError(t, os.Chtimes(s.path(name), at, at))
		want[name] = name
		order = append(order, "stored "+name)
	}
	require.NoError(t, os.Remove(s.path("old")))
	f := s.fault(Ring)
	assert.Contains(t, f.Reason, "too few")
	before := s.shelf.happened()
	s.restart(func() {}) // nothing is forgotten
	s.fault(Ring)
	assert.Equal(t, before, s.shelf.happened())
	s.shelf.setDown(false)
	s.settles(want)
	after := s.shelf.happened()[len(before):]
	assert.ElementsMatch(t, append(order, "removed old"), after)
	assert.Equal(t, "stored 9", after[0], "the oldest finds out that the ring is back")
	assert.Equal(t, "removed old", after[len(after)-1])
	assert.False(t, slices.ContainsFunc(s.status().Faults, func(f Fault) bool { return f.Kind == Ring }))
}

// Where all that knew a part of the ring are away, its names can be stored, by the
// folder as by anybody else; otherwise one such name would hold up all others.
func TestNamesOfWhichNobodyCanTell(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.shelf.vacant = true
	s.write("new", "1")
	s.start()
	s.settles(map[string]string{"new": "1"})
}

// A daemon that dies in the middle of a store does not know whether it
// happened. What it may have stored is its own all the same.
func TestADeathInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	s.start()
	s.until(func() string { return map[bool]string{true: "not watched yet"}[s.status().State != Watching] })
	s.shelf.busy = make(chan struct{})
	s.write("file", "content")
	var frozen []byte
	s.until(func() string { // begun, and written down
		var err error
		frozen, err = os.ReadFile(s.stateFile())
		require.NoError(t, err)
		if !bytes.Contains(frozen, []byte("attempt")) {
			return "the store has not begun"
		}
		return ""
	})
	path := s.stateFile()
	close(s.shelf.busy)
	s.settles(map[string]string{"file": "content"})
	s.restart(func() {
		require.NoError(t, os.WriteFile(path, frozen, 0o600)) // as it was when the daemon died
		require.NoError(t, os.Remove(s.path("file")))
	})
	s.settles(map[string]string{})
}
