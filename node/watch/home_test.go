package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hasLock takes a folder with a lock in it for the home of a node.
func hasLock(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "home.lock"))
	return err == nil
}

// makeHome makes what a node makes in a folder when it joins, in its order.
func (s *stage) makeHome(dir string) {
	s.t.Helper()
	for _, name := range []string{"home.lock", "logs/daemon.log", "member/node.key", "member/node.crt", "files/f0/file", "http.token"} {
		s.write(filepath.Join(dir, name), "secret "+name)
	}
}

func TestAFolderThatBecomesAHomeIsLeftOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	s.private = hasLock
	s.write("file", "1")
	s.write("h/before", "2")
	s.write("h/member/before", "3")
	require.NoError(t, os.MkdirAll(s.path("empty/deep"), 0o700))
	s.start()
	want := map[string]string{"file": "1", "h/before": "2", "h/member/before": "3"}
	s.settles(want)
	s.makeHome("h")
	s.makeHome("empty/deep")
	s.makeHome("new")
	s.write("h/member/later", "secret")
	s.write("marker", "4")
	want["marker"] = "4"
	s.settles(want)
	s.until(func() string {
		if n := s.status().Skipped; n != 3 {
			return "the homes are not counted"
		}
		return ""
	})
	assert.Equal(t, 2, s.status().Files)
	s.restart(func() { s.write("h/member/while nobody looked", "secret") })
	s.write("marker", "5")
	want["marker"] = "5"
	s.settles(want)
	s.noSecrets()
}

// noSecrets expects that nothing of a home was ever on the ring.
func (s *stage) noSecrets() {
	s.t.Helper()
	s.shelf.mu.Lock()
	defer s.shelf.mu.Unlock()
	for name, contents := range s.shelf.seen {
		assert.NotContains(s.t, strings.Join(contents, " "), "secret", name)
	}
}

func TestTheWatchedFolderBecomesAHome(t *testing.T) {
	t.Parallel()
	for where, dir := range map[string]string{"itself": "", "what it is in": ".."} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, Folder{OnDelete: Remove})
			s.private = hasLock
			s.write("file", "1")
			s.start()
			s.settles(map[string]string{"file": "1"})
			s.makeHome(dir)
			s.write("secret", "secret")
			assert.Equal(t, ".", s.fault(Home).Path)
			s.restart(func() {})
			s.fault(Home)
			s.settles(map[string]string{"file": "1"})
			assert.Zero(t, s.status().Files)
			s.noSecrets()
		})
	}
}

// However late it is found out: what was seen, and even begun, is not published.
func TestAHomeIsFoundOutAtTheLastMoment(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.write("h/member/node.key", "secret")
	info, err := os.Stat(s.path("h/member/node.key"))
	require.NoError(t, err)
	p := &publisher{node: s.shelf, self: self, folder: s.conf, catalog: newCatalog()}
	j := job{path: "h/member/node.key", print: printOf(info)}
	for when, read := range map[string]int64{"before it is opened": 0, "before its end": 1} {
		p.read.bytes.Store(0)
		p.private = func(dir string) bool { return dir == s.path("h") && p.read.bytes.Load() >= read }
		assert.Equal(t, changed, p.publish(t.Context(), j).verdict, when)
	}
	assert.Empty(t, s.shelf.has())
	assert.Equal(t, int64(1), p.read.files.Load())
}
