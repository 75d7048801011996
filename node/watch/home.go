package watch

import (
	"path"
	"path/filepath"
	"time"
)

// homeAbove is the home of a node that a directory is, or is in; empty when
// there is none.
func homeAbove(private func(dir string) bool, dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if private(at) {
			return at
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}

// home is the outermost folder that is the home of a node, of those from the
// watched one to dir; false when none is. A folder may become one at any time,
// so it is asked anew for each look, but once only: many files are in one folder.
func (t *tree) home(dir string, now time.Time) (string, bool) {
	if dir != "." {
		if above, ok := t.home(path.Dir(dir), now); ok {
			return above, true
		}
	}
	if !t.asked.Equal(now) {
		t.asked, t.homes = now, map[string]bool{}
	}
	is, known := t.homes[dir]
	if !known {
		if dir == "." { // what the watched folder is in counts, too
			is = homeAbove(t.private, t.root) != ""
		} else {
			is = t.private(t.full(dir))
		}
		t.homes[dir] = is
	}
	return dir, is
}

// leaveOut drops the home of a node, whatever was known of what is in it.
func (t *tree) leaveOut(home string) {
	t.note(Fault{Kind: Home, Path: home, Reason: "the home of a node, with its secret keys, is left out"})
	t.forget(home)
}
