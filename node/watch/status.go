package watch

import (
	"cmp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Kind tells one sort of trouble from another. Kinds are only ever added.
type Kind string

// The kinds of faults. Of a file:
const (
	Conflict   Kind = "conflict"   // the name has other content by another publisher
	BadName    Kind = "bad_name"   // the path cannot be a name on the ring
	Unreadable Kind = "unreadable" // the file, or the folder, cannot be read
	Refused    Kind = "refused"    // the ring does not take it
	// Left out:
	Link    Kind = "link"      // a symbolic link
	Special Kind = "special"   // a socket, a device or a pipe
	Home    Kind = "node_home" // the home of a node, with its keys
	// Of the whole folder:
	Missing  Kind = "missing"  // it is not there
	Replaced Kind = "replaced" // another folder has its place
	Watches  Kind = "watches"  // the system gives no more watches
	Remote   Kind = "remote"   // a file system that does not tell of changes made elsewhere
	Ring     Kind = "ring"     // the ring does not answer
	Memory   Kind = "state"    // what was published cannot be remembered
	Events   Kind = "events"   // the system does not tell of changes
)

// Fault is something that is not as it should be.
type Fault struct {
	Kind   Kind
	Path   string // relative to the folder; empty for the whole of it
	Reason string // what is wrong
	Hint   string // what to do about it; may be empty
	Since  time.Time
}

// State is what a folder is up to.
type State string

// The states of a folder.
const (
	Starting State = "starting" // it has not been scanned yet
	Watching State = "watching" // the system tells of changes
	Polling  State = "polling"  // it is scanned again and again
	Gone     State = "missing"  // it is not there; what was published stays
)

// Status is what one folder is up to.
type Status struct {
	Folder
	State     State
	Files     int       // in the folder, without what is ignored or left out
	Published int       // of them: on the ring as they are here
	Waiting   int       // of them: being written, or waiting for their turn; files that are gone and not yet removed, too
	Failed    int       // of them: see Faults
	Conflicts int       // of those that failed
	Skipped   int       // left out: links, devices and the like
	Faults    []Fault   // at most maxFaults, the oldest first
	Scanned   time.Time // when the folder was last scanned as a whole; zero: not yet
	FilesRead int64     // files whose content was read since the daemon started
	BytesRead int64
}

// maxFaults is how many faults of a folder are described; others are counted only.
const maxFaults = 1000

// faults are the faults of a folder that are not those of one file on its way.
type faults struct {
	list    map[faultKey]*noted
	round   uint32
	version uint64 // counts changes
}

type faultKey struct {
	kind Kind
	path string
}

type noted struct {
	Fault
	round uint32
}

func newFaults() *faults { return &faults{list: map[faultKey]*noted{}} }

// note remembers a fault; it reports whether that is news.
func (f *faults) note(x Fault, now time.Time) bool {
	key := faultKey{x.Kind, x.Path}
	if old := f.list[key]; old != nil {
		x.Since = old.Since
		*old = noted{x, f.round}
		return false
	}
	if len(f.list) >= maxFaults && x.Path != "" {
		return false
	}
	x.Since = now
	f.list[key] = &noted{x, f.round}
	f.version++
	return true
}

// clear forgets a fault.
func (f *faults) clear(kind Kind, path string) {
	key := faultKey{kind, path}
	if f.list[key] != nil {
		delete(f.list, key)
		f.version++
	}
}

// clearPath forgets all faults of a path in the folder.
func (f *faults) clearPath(path string) {
	if len(f.list) == 0 {
		return
	}
	for _, kind := range []Kind{Unreadable, Link, Special, Home} {
		f.clear(kind, path)
	}
}

// begin starts a round: end forgets the faults of paths that are not noted in it again.
func (f *faults) begin() { f.round++ }

func (f *faults) end() {
	for key, x := range f.list {
		if key.path != "" && x.round != f.round {
			f.clear(key.kind, key.path)
		}
	}
}

// leftOut counts what is not published for what it is.
func (f *faults) leftOut() int {
	n := 0
	for key := range f.list {
		if key.kind == Link || key.kind == Special || key.kind == Home {
			n++
		}
	}
	return n
}

// describe fills in what a machine and the faults have to tell.
func (s *Status) describe(m *machine, f *faults) {
	s.Published = m.counts[published]
	s.Failed = m.counts[refused]
	s.Waiting = m.counts[settling] + m.counts[queued] + m.counts[working]
	s.Files = s.Published + s.Failed + s.Waiting
	for _, t := range m.unsure {
		if t.phase == leaving && m.removes && t.entry.onRing() {
			s.Waiting++
		}
	}
	for _, t := range m.queue {
		if t.missed {
			s.Files--
		}
	}
	s.Conflicts, s.Skipped, s.Faults = 0, f.leftOut(), nil
	if m.ring != nil {
		s.Faults = append(s.Faults, *m.ring)
	}
	for _, x := range f.list {
		s.Faults = append(s.Faults, x.Fault)
	}
	for _, t := range m.sulky {
		if t.fault.Kind == Conflict {
			s.Conflicts++
		}
		if len(s.Faults) < maxFaults+len(f.list) {
			s.Faults = append(s.Faults, *t.fault)
		}
	}
	slices.SortFunc(s.Faults, func(a, b Fault) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
	})
	s.Faults = s.Faults[:min(len(s.Faults), maxFaults)]
	for i := range s.Faults {
		s.Faults[i].Path = printable(s.Faults[i].Path)
	}
}

// printable is a path as text: bytes that are no UTF-8 are escaped.
func printable(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	quoted := strconv.Quote(path)
	return quoted[1 : len(quoted)-1]
}
