package watch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ignoreFile has rules of its folder and those below it.
const ignoreFile = ".dhtfsignore"

// maxIgnoreFile is the longest ignore file that is read.
const maxIgnoreFile = 1 << 20

// builtIn is never published unless an ignore file says otherwise: what other
// programs leave lying about, and what is not complete.
var builtIn = []string{
	ignoreFile, ".git/", ".hg/", ".svn/", ".DS_Store", "Thumbs.db", "desktop.ini",
	"*~", "*.swp", "*.swo", "*.swx", ".#*", `\#*\#`, ".~lock.*#", "~$*",
	"*.part", "*.partial", "*.crdownload", "*.download/", "*.dhtfs-part",
	".goutputstream-*", ".nfs[0-9a-f]*", ".fuse_hidden*",
}

// rules are the ignore rules of one folder: its own, then those of the folder
// above, and so on. They are not changed once made, and safe for concurrent use.
type rules struct {
	above *rules
	base  string // what the paths below this folder begin with: "" or "a/b/"
	lines []pattern
}

// baseRules are those of the watched folder itself: what is built in, and
// before anything else what the user excludes.
func baseRules(excludes []string) (*rules, error) {
	base := &rules{}
	for _, text := range builtIn {
		p, _ := parsePattern(text)
		base.lines = append(base.lines, p)
	}
	for _, text := range excludes {
		p, ok := parsePattern(text)
		if !ok {
			return nil, fmt.Errorf("exclude %q: not a pattern", text)
		}
		base.lines = append(base.lines, p)
	}
	return base, nil
}

// below returns the rules for a folder, given what its ignore file says.
func (r *rules) below(dir string, content []byte) *rules {
	var lines []pattern
	content = bytes.TrimPrefix(content, []byte("\uFEFF"))
	scanner := bufio.NewScanner(bytes.NewReader(content))
	scanner.Buffer(nil, maxIgnoreFile+1)
	for scanner.Scan() {
		if p, ok := parseLine(scanner.Text()); ok {
			lines = append(lines, p)
		}
	}
	if len(lines) == 0 {
		return r
	}
	base := ""
	if dir != "." {
		base = dir + "/"
	}
	return &rules{above: r, base: base, lines: lines}
}

// ignored reports whether a path, relative to the watched folder, is ignored by
// itself. What is in an ignored folder is ignored too, which is for the caller
// to know. The last rule that matches counts, those of deeper folders before others.
func (r *rules) ignored(path string, isDir bool) bool {
	for ; r != nil; r = r.above {
		rest := strings.TrimPrefix(path, r.base)
		for i := len(r.lines) - 1; i >= 0; i-- {
			if r.lines[i].matches(rest, isDir) {
				return !r.lines[i].negated
			}
		}
	}
	return false
}

// What is wrong with an ignore file that is not read: with a part of its rules,
// or none, what it is to hide would be published.
var (
	errNoIgnoreFile   = errors.New("it is no regular file, and links are not followed")
	errLongIgnoreFile = fmt.Errorf("it is longer than %d bytes", maxIgnoreFile)
)

// readIgnoreFile reads the ignore file of a folder; nothing when there is none.
func readIgnoreFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case os.IsNotExist(err):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNoIgnoreFile
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, errors.Join(errChanged, err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxIgnoreFile+1))
	if len(content) > maxIgnoreFile {
		return nil, errLongIgnoreFile
	}
	return content, err
}
