package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// corpus are ignore files and paths; what is to become of them git knows.
var corpus = []struct {
	file  string // of the top folder
	below string // of the folder a
	paths []string
}{
	{file: "*.o", paths: []string{"a.o", "b/a.o", "a.oo", ".o"}},
	{file: "build/", paths: []string{"build/x", "a/build/x", "b/build"}},
	{file: "/top", paths: []string{"top", "a/top"}},
	{file: "a/b", paths: []string{"a/b", "a/b2", "x/a/b"}},
	{file: "a/**/b/c", paths: []string{"a/b/x/b/c", "a/x/b/c", "a/b/d", "b/b/c"}},
	{file: "abc/**\n!abc/keep", paths: []string{"abc/keep", "abc/lose", "abc/d/lose"}},
	{file: "x[!a-c].txt\ny[^a-c]\n", paths: []string{"xa.txt", "xd.txt", "ya", "yd"}},
	{file: "b\n!a", paths: []string{"a/b", "b"}},
	{file: "c\n!a/b", paths: []string{"a/b/c"}},
	{file: "foo\\ \nbar  \nbaz\\", paths: []string{"foo ", "foo", "bar", "bar  ", "baz", "baz\\"}},
	{file: "[[:digit:]]*\n[[:nosuch:]]x", paths: []string{"1a", "a1", "nx"}},
	{file: "\\#x\n\\!y\n#z", paths: []string{"#x", "!y", "#z"}},
	{file: "**/d\n**", paths: []string{"d", "a/d", "a/b/d"}},
	{file: "**/d", paths: []string{"d", "a/d", "a/b/d", "ad"}},
	{file: "a**b\nc/x**y", paths: []string{"axb", "ab", "a/b", "c/xzy", "c/xy", "c/x/y"}},
	{file: "/*\n!/keep", paths: []string{"keep", "lose", "b/x"}},
	{file: "*\n!*/\n!*.txt", paths: []string{"a.txt", "b/a.txt", "b/a.bin"}},
	{file: "[a\nx[]-]y\n[\\]]z", paths: []string{"[a", "x]y", "x-y", "]z"}},
	{file: "?.ü\nü*", paths: []string{"x.ü", "ü.ü", "üx"}},
	{file: "a\\*b\na\\b", paths: []string{"a*b", "axb", "ab"}},
	{file: "*.log\r\n!b.log\r\n", paths: []string{"a.log", "b.log"}},
	{file: "\uFEFF*.log", paths: []string{"a.log"}},
	{file: "*.txt", below: "!keep.txt\n/anchored\nsub/x", paths: []string{
		"a/keep.txt", "a/lose.txt", "keep.txt", "a/b/keep.txt", "a/anchored", "a/b/anchored", "a/sub/x", "a/b/sub/x",
	}},
	{file: "a/", below: "!*", paths: []string{"a/x"}},
	{file: "a/*", below: "!x\n!sub/", paths: []string{"a/x", "a/y", "a/sub/y"}},
	{file: "/\n!\n//\n \n***\n", paths: []string{"x", "a/y"}},
	{file: "//", paths: []string{"x", "a/y"}},
}

func TestIgnoreRulesAreThoseOfGit(t *testing.T) {
	for i, c := range corpus {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			compare(t, newRepository(t), t.TempDir(), c.file, c.below, c.paths)
		})
	}
}

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// newRepository returns a git directory.
func newRepository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git to compare with")
	}
	dir := t.TempDir()
	require.NoError(t, exec.CommandContext(t.Context(), "git", "init", "-q", dir).Run())
	return filepath.Join(dir, ".git")
}

// compare has git, with a repository of its own, and our rules decide on paths in dir.
func compare(t fataler, repository, dir, file, below string, paths []string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(file), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a", ".gitignore"), []byte(below), 0o600))
	for _, p := range paths {
		full := filepath.Join(dir, filepath.FromSlash(p))
		if os.MkdirAll(filepath.Dir(full), 0o700) == nil {
			_ = os.WriteFile(full, nil, 0o600)
		}
	}
	says := map[string]bool{}
	cmd := exec.CommandContext(t.Context(), "git", "--git-dir", repository, "--work-tree", dir,
		"-c", "core.excludesFile=", "-c", "core.ignoreCase=false", "check-ignore", "-z", "--stdin", "--no-index")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(strings.Join(paths, "\x00")+"\x00")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		err = nil // nothing is ignored
	}
	require.NoError(t, err)
	for p := range strings.SplitSeq(string(out), "\x00") {
		says[p] = true
	}
	for _, p := range paths {
		assert.Equal(t, says[p], ignoredByPath(file, below, p), "%q and %q on %q", file, below, p)
	}
}

// ignoredByPath decides as a walk does, folder by folder from the top.
func ignoredByPath(file, below, name string) bool {
	top := (&rules{}).below(".", []byte(file))
	segments := strings.Split(name, "/")
	for i := range segments {
		r := top
		if i > 0 && segments[0] == "a" {
			r = top.below("a", []byte(below))
		}
		if r.ignored(path.Join(segments[:i+1]...), i < len(segments)-1) {
			return true
		}
	}
	return false
}

// Patterns and paths at random, of letters that make them meet.
func TestAnyIgnoreRulesAreThoseOfGit(t *testing.T) {
	line := rapid.StringOfN(rapid.SampledFrom([]rune("aabbc/**?[]!-^\\. #x")), 0, 8, -1)
	file := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(line, 1, 5).Draw(t, "lines"), "\n") })
	segment := rapid.StringOfN(rapid.SampledFrom([]rune("aabbc.x-")), 1, 3, -1).Filter(func(s string) bool { return strings.Trim(s, ".") != "" })
	name := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "segments"), "/") })
	repository, base := newRepository(t), t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		require.NoError(t, os.Mkdir(dir, 0o700))
		paths := rapid.SliceOfNDistinct(name, 1, 20, rapid.ID[string]).Draw(t, "paths")
		// A file cannot be a folder too.
		kept := paths[:0:0]
		for _, p := range paths {
			clash := p == "a"
			for _, q := range paths {
				clash = clash || strings.HasPrefix(q, p+"/")
			}
			if !clash {
				kept = append(kept, p)
			}
		}
		if len(kept) > 0 {
			compare(t, repository, dir, file.Draw(t, "file"), file.Draw(t, "below"), kept)
		}
	})
}

func TestBuiltInRules(t *testing.T) {
	r, err := baseRules([]string{"*.tmp", "cache/"})
	require.NoError(t, err)
	for name, want := range map[string]bool{
		"report.pdf": false, "a/b.c": false, "partial": false, "git": false, "#notes": false, "~": true,
		".DS_Store": true, "a/Thumbs.db": true, "x~": true, ".x.swp": true, "movie.mkv.part": true, "a/b.crdownload": true,
		"#x#": true, ".#x": true, "~$doc.docx": true, ".dhtfsignore": true, "a.tmp": true, "a/b.tmp": true, ".x.ab12.dhtfs-part": true,
	} {
		assert.Equal(t, want, r.ignored(name, false), name)
	}
	assert.True(t, r.ignored(".git", true))
	assert.False(t, r.ignored(".git", false), "the file that a worktree has instead")
	assert.True(t, r.ignored("a/cache", true))
	own := r.below(".", []byte("!*.part\n"))
	assert.False(t, own.ignored("movie.part", false), "an ignore file takes it back")
	_, err = baseRules([]string{"/"})
	require.Error(t, err)
}

func TestALongIgnoreFileIsRead(t *testing.T) {
	content := bytes.Repeat([]byte("# comment\n"), 1000)
	assert.True(t, (&rules{}).below(".", append(content, "x\n"...)).ignored("x", false))
}

// An ignore file that is not read as a whole would let out what it hides.
func TestAnIgnoreFileThatIsNotRead(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "rules")
	require.NoError(t, os.WriteFile(rules, []byte("secret\n"), 0o600))
	for name, spoil := range map[string]func(s *stage, path string){
		"a link":             func(s *stage, path string) { require.NoError(s.t, os.Symlink(rules, path)) },
		"a link to nowhere":  func(s *stage, path string) { require.NoError(s.t, os.Symlink("nowhere", path)) },
		"a folder":           func(s *stage, path string) { require.NoError(s.t, os.Mkdir(path, 0o700)) },
		"one that is longer": func(s *stage, _ string) { s.write("d/.dhtfsignore", strings.Repeat("#\n", maxIgnoreFile/2)+"secret") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, Folder{OnDelete: Remove})
			s.write("file", "1")
			s.write("d/before", "2")
			s.start()
			want := map[string]string{"file": "1", "d/before": "2"}
			s.settles(want)
			spoil(s, s.path("d/.dhtfsignore"))
			assert.Equal(t, "d/.dhtfsignore", s.fault(Unreadable).Path)
			s.write("d/secret", "secret")
			s.write("d/new", "3")
			s.write("marker", "4")
			want["marker"] = "4"
			s.until(func() string { return map[bool]string{true: "the marker is not there"}[s.shelf.has()["marker"] == ""] })
			s.restart(func() { s.write("d/e/secret", "secret") })
			s.fault(Unreadable)
			s.write("marker", "5")
			want["marker"] = "5"
			s.until(func() string { return map[bool]string{true: "the marker is old"}[s.shelf.has()["marker"] == "4"] })
			assert.Equal(t, want, s.shelf.has())
			require.NoError(t, os.RemoveAll(s.path("d/.dhtfsignore")))
			s.write("d/.dhtfsignore", strings.Repeat("#", maxIgnoreFile-7)+"\nsecret") // as long as may be
			want["d/new"] = "3"
			s.settles(want)
			assert.Empty(t, s.status().Faults)
		})
	}
}

// What waits for its turn when the rules cannot be read any more is kept back.
func TestWhatWaitsIsKeptBackInDoubt(t *testing.T) {
	b := newBench(true)
	b.complete("a", Print{Size: 1})
	b.doubt("a")
	b.idle(t)
	b.see("a", Print{Size: 1}, b.now)
	b.doubt("b") // not known
	assert.Equal(t, "a", b.begin(t).path)
}
