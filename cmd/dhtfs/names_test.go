//go:build unix

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// goodNames are strange, and names all the same.
var goodNames = []string{
	"CON", "nul.txt", "com1", ".dhtfs-tmp", ".hidden", "trailing.", "trailing ", " ", "-rf", "--help", "~", "%2E%2E", "...", "..a",
	strings.Repeat("x", 300), strings.Repeat("ü", 512), "e\u0301", "\u00e9", "Case", "case", "CASE",
	"\x1b[31mred\x1b[0m", "bell\a", "two\nlines", "tab\t", "\u202etxt.exe", "\u009b31m", "back\\slash", `C:\x`, `"quotes'`, "$(reboot)", "*", "[a", "a?b",
	"dir/sub/.x", "dir/CON/aux.c",
}

// badNames are refused.
var badNames = []string{
	"", ".", "..", "../../etc/passwd", "/etc/passwd", "a/../../b", "a/./b", "a//b", "a/", "no\xffutf8", strings.Repeat("x", 1025),
}

// Every name goes through the real command line and comes back the same, or is
// refused; nothing is written where it should not be; and nothing of a name that a
// terminal would obey is printed.
func TestHostileNames(t *testing.T) {
	ring := proctest.NewRing(t, 2)
	at, other := ring.Nodes[0], ring.Nodes[1]
	var printed bytes.Buffer
	say := func(r proctest.Result) proctest.Result {
		printed.Write(r.Stdout)
		printed.Write(r.Stderr)
		return r
	}
	for _, name := range goodNames {
		say(proctest.Start(t, strings.NewReader("content of "+name), nil, at.Args("store", "-", "--as", name)...).Wait(t).OK(t))
	}
	for _, name := range badNames {
		for _, args := range [][]string{{"store", "-", "--as", name}, {"--json", "store", "-", "--as", name}} {
			r := say(proctest.Start(t, strings.NewReader("x"), nil, at.Args(args...)...).Wait(t))
			assert.Equal(t, 2, r.Code, "%q: %s", name, r)
		}
	}

	t.Run("they come back", func(t *testing.T) {
		for _, name := range goodNames {
			say(other.Run(t, "stat", "--", name).OK(t))
			r := other.Run(t, "cat", "--", name).OK(t)
			assert.Equal(t, "content of "+name, string(r.Stdout))
		}
		exact := strings.Split(strings.TrimSuffix(string(other.Run(t, "ls", "--ring", "-0").OK(t).Stdout), "\x00"), "\x00")
		slices.Sort(exact)
		assert.Equal(t, slices.Sorted(slices.Values(goodNames)), exact)
	})
	t.Run("as files", func(t *testing.T) {
		outside := t.TempDir()
		folder := filepath.Join(outside, "folder")
		require.NoError(t, os.MkdirAll(folder, 0o700))
		require.NoError(t, os.Symlink(outside, filepath.Join(folder, "dir"))) // a folder that names lead through
		r := say(other.Run(t, append([]string{"fetch", "-o", folder + "/", "--"}, goodNames...)...))
		assert.Equal(t, 3, r.Code, "those that lead out, and those too long for a file, are not fetched: %s", r)
		require.NoError(t, filepath.WalkDir(outside, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && path != outside && !strings.HasPrefix(path, folder) {
				t.Errorf("%s is outside the target", path)
			}
			return err
		}))
		for _, name := range goodNames {
			if len(name) > 255 || strings.HasPrefix(name, "dir/") {
				continue
			}
			content, err := os.ReadFile(filepath.Join(folder, name))
			if assert.NoError(t, err) {
				assert.Equal(t, "content of "+name, string(content))
			}
		}
		inside, err := os.Readlink(filepath.Join(folder, "dir"))
		require.NoError(t, err)
		assert.Equal(t, outside, inside)
	})
	t.Run("nothing raw is printed", func(t *testing.T) {
		for _, args := range [][]string{
			{"ls", "--ring"}, {"ls", "--ring", "--tree"}, {"ls", "-l"}, {"--json", "ls", "--ring"}, {"status"}, {"nodes"}, {"ring"}, {"--json", "stat", goodNames[len(goodNames)-12]},
			{"locate", "--", "\x1b[31mred\x1b[0m"}, {"stat", "--", "\x1b[31mmissing"}, {"fetch", "\x1b[2Jmissing", "-o", "x"},
			{"rm", "--yes", "--", "\x1b[31mred\x1b[0m"}, {"--home", "/\x1b[31m/nowhere", "ls"},
		} {
			say(at.Run(t, args...))
		}
		for i, r := range printed.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q is printed: %q", r, printed.String()[max(0, i-40):min(printed.Len(), i+40)])
			}
		}
	})
	t.Run("nothing is outside the nodes' directories", func(t *testing.T) {
		root := filepath.Dir(at.Home)
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && path != root && !strings.HasPrefix(path, at.Home) && !strings.HasPrefix(path, other.Home) {
				t.Errorf("%s is outside", path)
			}
			return err
		}))
		for _, n := range ring.Nodes {
			for _, file := range n.Files(t) {
				assert.Equal(t, n.Daemon(t).NodeID, filepath.Dir(file), "one directory, no folders in it")
			}
			assert.NotContains(t, n.Log(), "\x1b")
		}
	})
}

// TestLinksSwappedUnderAFetch turns the folders that files are fetched to into
// links that lead out, and back, while real fetches write there: small files, which
// the command writes, and a large one, which the daemon does.
func TestLinksSwappedUnderAFetch(t *testing.T) {
	t.Parallel()
	at := proctest.NewRing(t, 1).Nodes[0]
	dir := t.TempDir()
	from, inside, outside := filepath.Join(dir, "d"), filepath.Join(dir, "inside"), filepath.Join(dir, "outside")
	for i, size := range []int64{10, 2000, 100 << 10, 8 << 20} {
		writeFile(t, filepath.Join(from, "e", strings.Repeat("x", i+1)), size)
	}
	at.Run(t, "store", from).OK(t)
	require.NoError(t, os.MkdirAll(filepath.Join(inside, "d", "e"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(outside, "e"), 0o700))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			folder := []string{filepath.Join(inside, "d"), filepath.Join(inside, "d", "e")}[i%2]
			if os.Rename(folder, filepath.Join(inside, "away")) != nil {
				continue
			}
			_ = os.Symlink(outside, folder)
			_ = os.Remove(folder)
			if os.Rename(filepath.Join(inside, "away"), folder) != nil { // a new one was made in its place
				_ = os.RemoveAll(filepath.Join(inside, "away"))
			}
		}
	}()
	for range 5 {
		r := at.Run(t, "fetch", "--conflict", "overwrite", "--retry", "1ms", "-o", inside+"/", "d/*/*")
		assert.Contains(t, []int{0, 1, 3}, r.Code, "%s", r)
	}
	close(stop)
	<-stopped
	var found []string
	require.NoError(t, filepath.WalkDir(outside, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, path)
		return err
	}))
	assert.Equal(t, []string{outside, filepath.Join(outside, "e")}, found)
	at.Run(t, "fetch", "--conflict", "overwrite", "-o", inside+"/", "d/*/*").OK(t)
	want, got := shelf{}, shelf{}
	want.read(t, from)
	got.read(t, filepath.Join(inside, "d"))
	assert.Subset(t, got, want)
}
