package watch

import (
	"cmp"
	"container/heap"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// pace is how fast a folder is watched.
type pace struct {
	still time.Duration // a file is complete when nothing about it has changed for so long
	gone  time.Duration // a file is gone; longer, so that what was renamed gets its new name first
	tick  time.Duration // between looks at what is unsure
	poll  time.Duration // between looks at everything, where there are no events
	beat  time.Duration // between looks at whether the folder is still there
}

// usualPace publishes a file within three seconds after it is complete.
func usualPace() pace {
	return pace{still: 2 * time.Second, gone: 4 * time.Second, tick: 250 * time.Millisecond, poll: 2 * time.Second, beat: 5 * time.Second}
}

// How long it takes until something is tried again.
const (
	firstPause   = time.Second      // after the ring did not answer, doubled each time up to
	longestPause = 15 * time.Second // which is not long for people who wait
	firstRetry   = 30 * time.Second // of a file that was refused, doubled each time up to
	longestRetry = 10 * time.Minute // which is when folders are scanned anyway
)

// phase is where a file is on its way.
type phase uint8

const (
	settling  phase = iota // looked at again until it is still
	queued                 // still, and waiting for its turn
	working                // a worker has it
	published              // the ring has it as it is
	refused                // it cannot be published; tried again later
	leaving                // not seen any more, perhaps only for a moment
	phases
)

// Entry is what is known of a file's content and of the ring's version of it.
type Entry struct {
	Print   Print          // of the file when Sum was its content
	Sum     filestore.Hash // SHA-256
	Version filestore.OpID // the operation that wrote it to the ring; zero: it is not there
	Ours    bool           // this folder published that version
	Attempt filestore.OpID // of a publishing that was begun and may have happened
	Disk    uint64         // that the file lay on; 0: that of the watched folder
}

// track is one file of the folder.
type track struct {
	path    string
	phase   phase
	seen    Print     // the newest look; zero when it was not there
	since   time.Time // of the first look with this outcome
	missed  bool      // looked for and not found
	stirred bool      // it changed while a worker had it
	disk    uint64    // as in Entry, by the newest look
	entry   Entry
	tries   int
	retry   time.Time // when refused
	fault   *Fault    // why, when refused
	ripe    time.Time // when queued: since when something can be done about it
	order   int       // place in the queue; -1: not in it
	mark    uint32    // of the last scan that has seen it
}

// job is what a worker is to do about one file.
type job struct {
	path   string
	remove bool // from the ring; otherwise publish
	op     filestore.OpID
	print  Print
	entry  Entry // what was known of it before
}

// verdict is how a job ended.
type verdict uint8

const (
	done        verdict = iota // the ring has the file, or has it no more
	changed                    // the file is not as it was seen
	open                       // somebody has it open for writing
	unavailable                // the ring does not answer; nothing is wrong with the file
	failed                     // see the fault
)

// outcome is what became of a job.
type outcome struct {
	verdict verdict
	entry   Entry  // with done, of a file that was published
	fault   *Fault // with unavailable and failed
}

// edit is a change of what is to be remembered of a path.
type edit struct {
	path  string
	entry Entry // zero: forget it
}

// machine decides what is done about the files of one folder, and when. It has
// no clock, goroutine or I/O: looks at files, outcomes of jobs and the time go
// in; jobs and what is to be remembered come out. Not safe for concurrent use.
type machine struct {
	pace    pace
	removes bool // files that are removed here are removed from the ring
	newOp   func() filestore.OpID

	tracks map[string]*track
	unsure map[string]*track // those to be looked at again soon: settling, and leaving
	sulky  map[string]*track // refused
	queue  queue
	busy   int // jobs that workers have
	counts [phases]int
	edits  []edit
	scan   uint32

	hold  time.Time // nothing is begun before
	pause time.Duration
	ring  *Fault // why the ring does not take anything; nil when it does
}

func newMachine(p pace, removes bool, newOp func() filestore.OpID) *machine {
	return &machine{
		pace: p, removes: removes, newOp: newOp,
		tracks: map[string]*track{}, unsure: map[string]*track{}, sulky: map[string]*track{},
	}
}

// restore brings back what was remembered of a path. It is neither there nor
// gone before somebody has looked.
func (m *machine) restore(path string, e Entry) {
	t := m.add(path)
	t.entry, t.disk = e, e.Disk
	m.to(t, leaving)
	delete(m.unsure, path)
}

func (m *machine) add(path string) *track {
	t := &track{path: path, order: -1}
	m.tracks[path] = t
	m.counts[settling]++
	m.unsure[path] = t
	return t
}

// to moves a file to another phase.
func (m *machine) to(t *track, p phase) {
	m.counts[t.phase]--
	m.counts[p]++
	if t.order >= 0 {
		heap.Remove(&m.queue, t.order)
	}
	delete(m.unsure, t.path)
	delete(m.sulky, t.path)
	t.phase = p
	switch p {
	case settling, leaving:
		m.unsure[t.path] = t
	case refused:
		m.sulky[t.path] = t
	case queued:
		t.ripe = t.since.Add(m.pace.still)
		if t.missed {
			t.ripe = t.since.Add(m.pace.gone)
		}
		heap.Push(&m.queue, t)
	}
	if p != refused {
		t.fault = nil
	}
}

// see tells of a look at a regular file.
func (m *machine) see(path string, p Print, now time.Time) {
	t := m.tracks[path]
	if t == nil {
		t = m.add(path)
		t.seen, t.since = p, now
	}
	t.mark = m.scan
	back := t.missed || t.phase == leaving
	t.missed = false
	switch {
	case t.phase == working:
		if t.seen != p {
			t.seen, t.since, t.stirred = p, now, true
		}
	case back || t.seen != p:
		t.seen, t.since, t.tries = p, now, 0
		if p == t.entry.Print && t.entry.Version != (filestore.OpID{}) {
			m.to(t, published)
		} else {
			m.to(t, settling)
		}
	case t.phase == settling && now.Sub(t.since) >= m.pace.still:
		m.to(t, queued)
	}
}

// lies tells which disk a file is on that was just seen.
func (m *machine) lies(path string, disk uint64) {
	t := m.tracks[path]
	t.disk = disk
	if t.entry != (Entry{}) && t.entry.Disk != disk {
		t.entry.Disk = disk
		m.edits = append(m.edits, edit{path, t.entry})
	}
}

// miss tells that a file was looked for and is not there.
func (m *machine) miss(path string, now time.Time) {
	t := m.tracks[path]
	if t == nil {
		return
	}
	first := !t.missed
	if first {
		t.missed, t.seen, t.since, t.tries = true, Print{}, now, 0
	}
	switch {
	case t.phase == working:
		t.stirred = true
	case first:
		m.to(t, leaving)
	case t.phase == leaving && now.Sub(t.since) >= m.pace.gone:
		if m.removes && t.entry.onRing() {
			m.to(t, queued)
		} else {
			m.forget(path)
		}
	}
}

// doubt keeps back a file of which nobody can tell for now whether it may be published.
func (m *machine) doubt(path string) {
	if t := m.tracks[path]; t != nil && t.phase == queued && !t.missed {
		m.to(t, settling)
	}
}

// onRing reports whether the ring has, or may have, a version that this folder
// has published.
func (e Entry) onRing() bool {
	return e.Ours && e.Version != (filestore.OpID{}) || e.Attempt != (filestore.OpID{})
}

// forget drops a path: it is ignored, or gone and stays on the ring. A worker
// that has it is not disturbed.
func (m *machine) forget(path string) {
	t := m.tracks[path]
	if t == nil || t.phase == working {
		return
	}
	m.to(t, settling)
	m.counts[settling]--
	delete(m.unsure, path)
	delete(m.tracks, path)
	if t.entry != (Entry{}) {
		m.edits = append(m.edits, edit{path: path})
	}
}

// next hands out the job whose turn it is; false when there is none now. Files
// are removed only when nothing that was to be published before is left, since
// what was renamed is copied from its old name. While the ring does not answer
// one job at a time finds out whether it does again.
func (m *machine) next(now time.Time) (job, bool) {
	if len(m.queue) == 0 || now.Before(m.hold) || m.ring != nil && m.busy > 0 {
		return job{}, false
	}
	t := m.queue[0]
	if t.missed && (m.busy > 0 || m.settlesBefore(t.ripe)) {
		return job{}, false
	}
	m.to(t, working)
	m.busy++
	t.stirred = false
	j := job{path: t.path, remove: t.missed, op: m.newOp(), print: t.seen, entry: t.entry}
	if m.removes && !j.remove { // so that it is known for ours even if we do not live to hear of it
		t.entry.Attempt, t.entry.Disk = j.op, t.disk
		m.edits = append(m.edits, edit{t.path, t.entry})
	}
	return j, true
}

// settlesBefore reports whether a file that was seen is going to be still by then.
func (m *machine) settlesBefore(ripe time.Time) bool {
	for _, t := range m.unsure {
		if t.phase == settling && !t.since.Add(m.pace.still).After(ripe) {
			return true
		}
	}
	return false
}

// finish takes the outcome of a job.
func (m *machine) finish(j job, o outcome, now time.Time) {
	t := m.tracks[j.path]
	m.busy--
	switch o.verdict {
	case unavailable:
		if !now.Before(m.hold) { // else another job has found out the same
			m.pause = min(max(2*m.pause, firstPause), longestPause)
			m.hold = now.Add(m.pause)
		}
		if m.ring == nil {
			o.fault.Since = now
			m.ring = o.fault
		}
	case done, failed:
		m.pause, m.hold, m.ring = 0, time.Time{}, nil
	}
	if o.verdict == done && !j.remove {
		o.entry.Disk = t.disk
		t.entry, t.tries = o.entry, 0
		m.edits = append(m.edits, edit{j.path, o.entry})
	}
	if o.verdict == done && j.remove {
		t.entry = Entry{}
		m.edits = append(m.edits, edit{path: j.path})
	}
	if t.stirred || o.verdict == changed {
		m.restart(t, now)
		return
	}
	switch o.verdict {
	case done:
		m.to(t, published)
		if j.remove {
			m.forget(j.path)
		}
	case open:
		t.since = now
		m.to(t, settling)
	case unavailable:
		m.to(t, queued) // where it was before
	case failed:
		t.retry = now.Add(min(firstRetry<<min(t.tries, 10), longestRetry))
		t.tries++
		o.fault.Since = now
		m.to(t, refused)
		t.fault = o.fault
	}
}

// restart begins anew with a file that is not as it was when its job began.
func (m *machine) restart(t *track, now time.Time) {
	switch {
	case t.missed:
		m.to(t, leaving)
	case t.seen == t.entry.Print && t.entry.Version != (filestore.OpID{}):
		m.to(t, published)
	default:
		t.since = now
		m.to(t, settling)
	}
}

// retryRefused lets those that were refused long enough ago try again.
func (m *machine) retryRefused(now time.Time) {
	for _, t := range m.sulky {
		if now.Before(t.retry) {
			continue
		}
		if t.missed {
			m.to(t, queued)
			continue
		}
		t.since = now
		m.to(t, settling)
	}
}

// unseen returns the paths that were not seen since scan began.
func (m *machine) unseen() []string {
	var paths []string
	for path, t := range m.tracks {
		if t.mark != m.scan {
			paths = append(paths, path)
		}
	}
	return paths
}

// below returns the paths of a folder, "." for all.
func (m *machine) below(dir string) []string {
	var paths []string
	for path := range m.tracks {
		if dir == "." || strings.HasPrefix(path, dir+"/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// takeEdits returns what is to be remembered since it was last called.
func (m *machine) takeEdits() []edit {
	edits := m.edits
	m.edits = nil
	return edits
}

// queue is a heap: first what is ripe longest, and of those what was modified first.
type queue []*track

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i]; q[i].order, q[j].order = i, j }
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	return cmp.Or(a.ripe.Compare(b.ripe), cmp.Compare(a.seen.Modified, b.seen.Modified), strings.Compare(a.path, b.path)) < 0
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	t := x.(*track)
	t.order = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	t.order = -1
	*q = old[:len(old)-1]
	return t
}
