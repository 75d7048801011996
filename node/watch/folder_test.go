package watch

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsInTheFolderIsPublished(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{Prefix: "p/", Exclude: []string{"*.tmp"}})
	want := map[string]string{}
	put := func(name, text string) {
		s.write(name, text)
		want["p/"+name] = text
	}
	put("there before", "1")
	put("deep/er/and/deeper", "2")
	s.write("x.tmp", "excluded")
	s.write(".git/config", "built in")
	s.write("a home/node.key", "secret")
	s.write(".dhtfsignore", "/ignored\n")
	s.write("ignored", "ignored")
	s.write("deep/.dhtfsignore", "*.o\n")
	s.write("deep/er/x.o", "ignored")
	put("deep.o", "3")
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("outside"), 0o600))
	require.NoError(t, os.Symlink(outside, s.path("link")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), s.path("linked folder")))
	s.start()
	s.settles(want)
	// Folders in folders, faster than they can be watched.
	for i := range 30 {
		put(fmt.Sprintf("new/%d/a/b/c/file", i), fmt.Sprint(i))
	}
	put("empty", "")
	put("Übergröße/ü.txt", "4")
	s.settles(want)
	assert.Equal(t, 3, s.status().Skipped)
	assert.Equal(t, 1, strings.Count(s.logged.String(), "a symbolic link is not followed, and left out\"\n")-strings.Count(s.logged.String(), "path=\"linked"))
	s.write(".dhtfsignore", "/empty\n") // other files count
	want["p/ignored"] = "ignored"
	s.settles(want)
	s.until(func() string {
		if n := s.status().Published; n != len(want)-1 {
			return fmt.Sprintf("%d files count as published", n)
		}
		return ""
	})
}

func TestSavesOfAllKindsAreVersions(t *testing.T) {
	t.Parallel()
	for name, save := range map[string]func(s *stage, text string){
		"in place": func(s *stage, text string) { s.write("file", text) },
		"beside and renamed": func(s *stage, text string) {
			s.write("file.new", text)
			s.rename("file.new", "file")
		},
		"removed and made again": func(s *stage, text string) {
			require.NoError(s.t, os.Remove(s.path("file")))
			s.write("file", text)
		},
		"the old one put away first": func(s *stage, text string) {
			s.rename("file", "file~")
			s.write("file", text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, Folder{OnDelete: Remove})
			s.write("file", "first")
			s.start()
			s.settles(map[string]string{"file": "first"})
			save(s, "other")
			s.settles(map[string]string{"file": "other"})
			before := s.status().FilesRead
			save(s, "other") // the same again
			s.until(func() string {
				if s.status().FilesRead == before || s.status().Waiting > 0 {
					return "it was not read"
				}
				return ""
			})
			s.settles(map[string]string{"file": "other"})
			assert.Equal(t, []string{"stored file", "stored file"}, s.shelf.happened())
		})
	}
}

func TestARenamedFileIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, mode := range []OnDelete{Keep, Remove} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, Folder{OnDelete: mode})
			s.write("old", "content")
			s.write("d/1", "one")
			s.write("d/2", "two")
			s.start()
			all := map[string]string{"old": "content", "d/1": "one", "d/2": "two"}
			s.settles(all)
			sent := s.shelf.sent
			s.rename("old", "new")
			s.rename("d", "e")
			now := map[string]string{"new": "content", "e/1": "one", "e/2": "two"}
			if mode == Keep {
				maps.Copy(now, all)
			}
			s.settles(now)
			assert.Equal(t, sent, s.shelf.sent)
			s.write("e/3", "three") // the folder is watched under its new name
			s.write("e/f/4", "four")
			now["e/3"], now["e/f/4"] = "three", "four"
			s.settles(now)
		})
	}
}

// However slowly it comes: a file that is open for writing is not complete.
func TestAFileIsNotPublishedWhileItIsWritten(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.start()
	f, err := os.Create(s.path("slow"))
	require.NoError(t, err)
	_, err = f.WriteString("first half ")
	require.NoError(t, err)
	if !isBeingWritten(openToRead(t, s.path("slow"))) {
		t.Skip("this system does not tell that a file is open for writing")
	}
	s.write("marker", "x")
	s.settlesBut("slow", map[string]string{"marker": "x"})
	s.write("marker", "y") // and twice as long
	s.settlesBut("slow", map[string]string{"marker": "y"})
	_, err = f.WriteString("second half")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	s.settles(map[string]string{"marker": "y", "slow": "first half second half"})
	assert.Len(t, s.shelf.seen["slow"], 1)
}

func openToRead(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// settlesBut waits until the ring has what is wanted and nothing waits but one file.
func (s *stage) settlesBut(waits string, want map[string]string) {
	s.t.Helper()
	s.until(func() string {
		if got := s.shelf.has(); !maps.Equal(got, want) || s.status().Waiting != 1 {
			return fmt.Sprintf("the ring has %q instead of %q, and %d wait; %s may", got, want, s.status().Waiting, waits)
		}
		return ""
	})
}

// A file that changes while it is read is not published as it was read.
func TestAMixtureHasNoEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.write("file", strings.Repeat("a", 1000))
	info, err := os.Stat(s.path("file"))
	require.NoError(t, err)
	for name, change := range map[string]func(){
		"longer":  func() { s.write("file", strings.Repeat("b", 2000)) },
		"as long": func() { s.write("file", strings.Repeat("b", 1000)) },
		"shorter": func() { s.write("file", "b") },
		"appended": func() {
			f, err := os.OpenFile(s.path("file"), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString("b")
			require.NoError(t, err)
			require.NoError(t, f.Close())
		},
	} {
		src, err := openSource(s.dir, "file", printOf(info), &reading{})
		require.NoError(t, err, name)
		c, err := src.content(t.Context())
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 500))
		require.NoError(t, err)
		change()
		_, err = io.ReadAll(c)
		require.ErrorIs(t, err, errChanged, name)
		_, err = openSource(s.dir, "file", printOf(info), &reading{})
		require.ErrorIs(t, err, errChanged, name)
		src.close()
		require.NoError(t, os.Remove(s.path("file")))
		s.write("file", strings.Repeat("a", 1000))
		info, err = os.Stat(s.path("file"))
		require.NoError(t, err)
	}
	require.NoError(t, os.Symlink("/etc/passwd", s.path("link")))
	_, err = openSource(s.dir, "link", Print{}, &reading{})
	require.Error(t, err)
}

func TestRemovedFiles(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	all := map[string]string{"gone": "1", "changed": "2", "d/1": "3", "d/e/2": "4", "d/e/f/3": "5", "stays": "6"}
	for name, text := range all {
		s.write(name, text)
	}
	s.start()
	s.settles(all)
	s.shelf.by(stranger, "changed", "by another")
	require.NoError(t, os.Remove(s.path("gone")))
	require.NoError(t, os.Remove(s.path("changed")))
	require.NoError(t, os.Rename(s.path("d"), filepath.Join(t.TempDir(), "d")))
	s.settles(map[string]string{"changed": "by another", "stays": "6"})
	assert.Equal(t, 1, s.status().Files)
}

func TestAConflictIsShownAndLeftAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.shelf.by(stranger, "mine", "theirs")
	s.shelf.by(stranger, "same", "same")
	s.shelf.by(self, "ours", "from before")
	s.write("mine", "mine")
	s.write("same", "same")
	s.write("ours", "new")
	s.start()
	f := s.fault(Conflict)
	assert.Equal(t, "mine", f.Path)
	assert.Contains(t, f.Hint, "rename")
	s.settles(map[string]string{"mine": "theirs", "same": "same", "ours": "new"})
	now := s.status()
	assert.Equal(t, []int{3, 2, 1, 1}, []int{now.Files, now.Published, now.Failed, now.Conflicts})
	assert.Equal(t, 1, strings.Count(s.logged.String(), "kind=conflict"))
	s.rename("mine", "mine too")
	s.settles(map[string]string{"mine": "theirs", "same": "same", "ours": "new", "mine too": "mine"})
	assert.Zero(t, s.status().Failed)
}

// A file that somebody has removed from the ring comes back when it is touched.
func TestATouchedFileIsMadeSureOf(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.write("file", "1")
	s.start()
	s.settles(map[string]string{"file": "1"})
	rec := s.shelf.files["file"]
	require.NoError(t, s.shelf.DeleteVersion(t.Context(), "file", rec.Op, rec.Op, 0))
	now := time.Now()
	require.NoError(t, os.Chtimes(s.path("file"), now, now))
	s.settles(map[string]string{"file": "1"})
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root can read everything")
	}
	s := newStage(t, Folder{OnDelete: Remove})
	all := map[string]string{"a": "1", "secret": "2", "closed/b": "3", "rules/c": "4"}
	for name, text := range all {
		s.write(name, text)
	}
	s.write("rules/.dhtfsignore", "x")
	s.write("rules/x", "ignored")
	mode := func(path string, m os.FileMode) { require.NoError(t, os.Chmod(s.path(path), m)) }
	mode("secret", 0)
	mode("closed", 0)
	mode("rules/.dhtfsignore", 0)
	s.start()
	s.settles(map[string]string{"a": "1"})
	assert.Len(t, s.status().Faults, 3)
	mode("secret", 0o600)
	mode("closed", 0o700)
	mode("rules/.dhtfsignore", 0o600)
	s.settles(all)
	mode("closed", 0) // what cannot be seen any more is not gone
	s.restart(func() {})
	s.fault(Unreadable)
	s.settles(all)
	mode("closed", 0o700)
}

func TestNamesThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	for _, name := range []string{"bad \xff", strings.Repeat(strings.Repeat("x", 200)+"/", 6) + "long"} {
		if os.MkdirAll(filepath.Dir(s.path(name)), 0o700) != nil || os.WriteFile(s.path(name), []byte("x"), 0o600) != nil {
			t.Skip("this file system does not have such names")
		}
	}
	s.write("good", "x")
	s.start()
	s.until(func() string {
		if s.status().Failed != 2 {
			return "they have not failed"
		}
		return ""
	})
	s.settles(map[string]string{"good": "x"})
	assert.Equal(t, BadName, s.fault(BadName).Kind)
	assert.Contains(t, fmt.Sprint(s.status().Faults), `bad \xff`)
}

func TestTheFolderGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	s.write("a", "1")
	s.write("b", "2")
	s.start()
	s.settles(map[string]string{"a": "1", "b": "2"})
	aside := s.dir + " aside"
	require.NoError(t, os.Rename(s.dir, aside))
	s.fault(Missing)
	assert.Equal(t, Gone, s.status().State)
	require.NoError(t, os.Rename(aside, s.dir))
	s.write("c", "3")
	s.settles(map[string]string{"a": "1", "b": "2", "c": "3"})
	assert.Empty(t, s.status().Faults)

	require.NoError(t, os.Rename(s.dir, aside))
	require.NoError(t, os.Mkdir(s.dir, 0o700)) // as when a disk is not mounted
	s.write("d", "4")
	s.fault(Replaced)
	s.settles(map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"})
	require.NoError(t, os.Remove(s.path("d")))
	s.settles(map[string]string{"a": "1", "b": "2", "c": "3"})
	s.restart(func() { // and while nobody looks
		require.NoError(t, os.Rename(s.dir, s.dir+" aside too"))
		require.NoError(t, os.Rename(aside, s.dir))
		require.NoError(t, os.Remove(s.path("a")))
	})
	s.fault(Replaced)
	s.settles(map[string]string{"a": "1", "b": "2", "c": "3"})
}

// exhausted is a notifier that watches one folder and no more.
type exhausted struct {
	events
	added int
}

func (e *exhausted) Add(dir string) error {
	if e.added++; e.added > 1 {
		return fmt.Errorf("watch %s: %w", dir, errNoWatches)
	}
	return e.events.Add(dir)
}

func TestWithoutWatchesTheFolderIsPolled(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.hook = func(w *watcher) {
		w.look.listen = func() (events, error) {
			e, err := listen()
			e.notifier = &exhausted{events: e}
			return e, err
		}
	}
	s.write("a/b/c/file", "1")
	s.start()
	f := s.fault(Watches)
	assert.Contains(t, f.Hint, "fs.inotify.max_user_watches")
	s.settles(map[string]string{"a/b/c/file": "1"})
	assert.Equal(t, Polling, s.status().State)
	s.write("a/b/c/file", "2")
	s.write("a/new/file", "3")
	s.settles(map[string]string{"a/b/c/file": "2", "a/new/file": "3"})
	assert.Equal(t, 1, strings.Count(s.logged.String(), "kind=watches"))
}

func TestANetworkFileSystemIsPolled(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.hook = func(w *watcher) { w.look.remote = func(string) string { return "NFS" } }
	s.start()
	assert.Contains(t, s.fault(Remote).Reason, "NFS")
	s.write("a/file", "1")
	s.settles(map[string]string{"a/file": "1"})
}

func TestLostEventsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	overflow := make(chan error)
	listened := make(chan struct{}, 10)
	s.hook = func(w *watcher) {
		w.look.listen = func() (events, error) {
			listened <- struct{}{}
			return events{notifier: deaf{}, errors: overflow}, nil // it tells nothing
		}
	}
	s.start()
	<-listened
	s.write("a/file", "1")
	overflow <- fsnotify.ErrEventOverflow
	s.settles(map[string]string{"a/file": "1"})
	<-listened // with a new notifier
	s.write("a/file", "2")
	close(overflow) // the notifier has died
	s.settles(map[string]string{"a/file": "2"})
}

func TestPublishingStaysWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{})
	s.start()
	s.until(func() string { return map[bool]string{true: "not watched yet"}[s.status().State != Watching] })
	s.write("file", "1")
	begun := time.Now()
	s.settles(map[string]string{"file": "1"})
	t.Logf("published %v after it was complete", time.Since(begun)) // no more than that: the machine may be slow
}
