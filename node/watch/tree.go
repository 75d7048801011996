package watch

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// tree is what is known of the folders in a watched folder. It looks at the
// disk and tells the machine what it sees. Paths are relative, with slashes,
// "." for the watched folder. Not safe for concurrent use.
type tree struct {
	root    string
	base    *rules
	private func(dir string) bool // the home of a node
	disk    func(path string) uint64
	events  events
	machine *machine
	note    func(Fault)       // something is not as it should be
	well    func(path string) // nothing is wrong with a path any more
	unheard func(err error)   // a folder cannot be watched
	dirs    map[string]*dir
	places  map[place]string // of dirs
	asked   time.Time        // the look for which homes has what private said
	homes   map[string]bool
}

// dir is a folder that is watched, or would be.
type dir struct {
	place  place
	disk   uint64 // as in Entry
	rules  *rules
	unread bool // it, or its ignore file, could not be read: nothing is known of what is in it
}

func (t *tree) full(path string) string { return filepath.Join(t.root, filepath.FromSlash(path)) }

// scan looks at everything. What is known and was not seen is looked for by
// itself, so that what cannot be seen now is not taken for gone. In a folder
// that is not the one that was scanned before it is forgotten instead.
func (t *tree) scan(info fs.FileInfo, other bool, now time.Time) {
	t.machine.scan++
	known := t.dirs
	t.dirs = map[string]*dir{}
	if home, ok := t.home(".", now); ok {
		t.leaveOut(home)
	} else {
		t.visit(".", info, t.base, now)
	}
	for name, d := range known {
		if t.dirs[name] == nil {
			t.unwatch(name, d)
		}
	}
	for _, name := range t.machine.unseen() {
		if other {
			t.machine.forget(name)
		} else {
			t.examine(name, now)
		}
	}
}

// visit watches a folder and looks at what is in it. It is watched first:
// whatever is made after that is told of, and whatever was made before is seen.
func (t *tree) visit(name string, info fs.FileInfo, above *rules, now time.Time) {
	d := &dir{place: placeOf(info)}
	if old, ok := t.places[d.place]; ok && old != name {
		_ = t.events.Remove(t.full(old)) // it was moved: the watch goes by its old path
	}
	t.dirs[name] = d
	d.disk = diskBelow(t.dirs["."].place, d.place, t.full(name), t.disk)
	if d.place != (place{}) {
		t.places[d.place] = name
	}
	if err := t.events.Add(t.full(name)); err != nil {
		t.unheard(err)
	}
	t.well(name)
	t.well(path.Join(name, ignoreFile))
	content, ignoreErr := readIgnoreFile(filepath.Join(t.full(name), ignoreFile))
	entries, err := os.ReadDir(t.full(name))
	switch {
	case err != nil && !isGone(err):
		d.unread = true
		t.note(Fault{Kind: Unreadable, Path: name, Reason: err.Error(), Hint: "let the user who runs the daemon read the folder"})
	case ignoreErr != nil:
		d.unread = true // who knows what is not to be published
		t.note(Fault{Kind: Unreadable, Path: path.Join(name, ignoreFile), Reason: ignoreErr.Error(),
			Hint: ignoreHint(ignoreErr) + "; until then nothing new in its folder is published"})
		return
	}
	d.rules = above.below(name, content)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			t.found(path.Join(name, e.Name()), info, d, now)
		}
	}
}

// ignoreHint is what to do about an ignore file that is not read.
func ignoreHint(err error) string {
	switch {
	case errors.Is(err, errNoIgnoreFile):
		return "put a copy of the rules in its place"
	case errors.Is(err, errLongIgnoreFile):
		return "make it shorter"
	}
	return "let the user who runs the daemon read it"
}

// found deals with what is in the folder d.
func (t *tree) found(name string, info fs.FileInfo, d *dir, now time.Time) {
	switch {
	case d.rules.ignored(name, info.IsDir()):
		t.forget(name)
	case info.IsDir():
		if home, ok := t.home(name, now); ok {
			t.leaveOut(home)
			return
		}
		t.miss(name, now)
		if known := t.dirs[name]; known == nil || known.unread || known.place != placeOf(info) || known.place == (place{}) {
			t.visit(name, info, d.rules, now)
		}
	case info.Mode().IsRegular():
		t.well(name)
		t.machine.see(name, printOf(info), now)
		t.machine.lies(name, d.disk)
	case info.Mode()&fs.ModeSymlink != 0:
		t.note(Fault{Kind: Link, Path: name, Reason: "a symbolic link is not followed, and left out"})
		t.miss(name, now)
	default:
		t.note(Fault{Kind: Special, Path: name, Reason: "no regular file, and left out"})
		t.miss(name, now)
	}
}

// examine looks at one path that something was heard of.
func (t *tree) examine(name string, now time.Time) {
	if home, ok := t.home(path.Dir(name), now); ok { // it may have become one since it was found
		t.leaveOut(home)
		t.machine.forget(name)
		return
	}
	above := t.dirs[path.Dir(name)]
	if above == nil || name == "." {
		if t.isGone(name) {
			t.miss(name, now)
		} else {
			t.machine.forget(name) // in a folder that is ignored
		}
		return
	}
	info, err := os.Lstat(t.full(name))
	switch {
	case above.unread:
		t.machine.doubt(name)
	case err == nil:
		t.found(name, info, above, now)
	case isGone(err):
		t.drop(name)
		t.well(name)
		t.miss(name, now)
	default:
		t.note(Fault{Kind: Unreadable, Path: name, Reason: err.Error()})
	}
}

// miss tells of a file that is not there. One that went with the disk that it
// was on, or is hidden by another, is not deleted; it is not known any more.
func (t *tree) miss(name string, now time.Time) {
	track := t.machine.tracks[name]
	if track == nil {
		return
	}
	lay := track.disk
	t.machine.miss(name, now)
	if lay != diskAbove(t.root, name, t.disk) {
		t.machine.forget(name)
	}
}

// isGone reports whether there is nothing at a path: the file or a folder on
// the way to it is not there, or is no folder.
func (t *tree) isGone(name string) bool {
	segments := strings.Split(name, "/")
	for i := range segments {
		info, err := os.Lstat(t.full(path.Join(segments[:i+1]...)))
		if err != nil {
			return isGone(err)
		}
		if i < len(segments)-1 && !info.IsDir() {
			return true
		}
	}
	return false
}

// forget drops what is ignored, a folder with all that is in it.
func (t *tree) forget(name string) {
	t.machine.forget(name)
	if t.drop(name) {
		for _, file := range t.machine.below(name) {
			t.machine.forget(file)
		}
	}
}

// drop forgets a folder, with those in it, because it is not there any more, or
// is another one. It reports whether it was known.
func (t *tree) drop(name string) bool {
	if t.dirs[name] == nil {
		return false
	}
	for below, d := range t.dirs {
		if below == name || name == "." || strings.HasPrefix(below, name+"/") {
			t.unwatch(below, d)
			delete(t.dirs, below)
		}
	}
	return true
}

// unwatch ends the watch of a folder, unless that has another path by now.
func (t *tree) unwatch(name string, d *dir) {
	if d.place != (place{}) && t.places[d.place] != name {
		return
	}
	_ = t.events.Remove(t.full(name)) // it may have gone by itself
	delete(t.places, d.place)
}

// relative is the path of an event; false for one outside of the folder.
func (t *tree) relative(full string) (string, bool) {
	name, err := filepath.Rel(t.root, full)
	if err != nil || name == ".." || strings.HasPrefix(name, ".."+string(filepath.Separator)) {
		return "", false
	}
	return filepath.ToSlash(name), true
}
