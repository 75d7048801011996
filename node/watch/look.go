package watch

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How often a folder is looked at.
const (
	scanEvery = 10 * time.Minute // all of it, whatever the events say
	tickShare = 20               // ticks take at most this part of the time, unless that makes them
	tickLimit = time.Second      // rarer than this
	pollShare = 50               // polls take at most this part of the time, unless that makes them
	pollLimit = 30 * time.Second // rarer than this
)

// look decides when a folder and what is in it is looked at, and does it.
type look struct {
	dir     string
	log     *slog.Logger
	listen  func() (events, error)
	remote  func(dir string) string
	disk    func(path string) uint64
	machine *machine
	tree    *tree
	faults  *faults
	note    func(Fault)

	at       ground // of the folder when it was attached
	state    State
	deaf     bool            // changes are found by polling
	touched  map[string]bool // paths that were heard of
	again    bool            // everything is to be looked at soon
	fresh    bool            // and with a new notifier
	attached time.Time
	scanned  time.Time
	scanCost time.Duration
	ticked   time.Time
	tickCost time.Duration
}

// root is where the folder is, if it is there.
func (l *look) root() (ground, bool) { return l.at, l.state == Watching || l.state == Polling }

// heard takes an event.
func (l *look) heard(e fsnotify.Event) {
	name, ok := l.tree.relative(e.Name)
	if !ok || e.Name == "" {
		return
	}
	if name == "." {
		l.checkRoot()
		return
	}
	if path.Base(name) == ignoreFile {
		l.again = true // other files count now
	}
	l.touched[name] = true
	if !e.Has(fsnotify.Remove) && !e.Has(fsnotify.Rename) {
		return
	}
	// A folder that went away must not be watched under its old path when it
	// turns up under another: what is then told of it would be misread.
	if l.tree.drop(name) {
		for _, file := range l.machine.below(name) {
			l.touched[file] = true
		}
	}
}

// missed notes that events were lost.
func (l *look) missed(err error) {
	if !l.fresh {
		l.log.Info("events of a watched folder were lost; it is scanned", "folder", l.dir, "err", err)
	}
	l.again, l.fresh = true, true
	if errors.Is(err, os.ErrClosed) {
		l.tree.events = events{notifier: deaf{}}
	}
}

// due is when something is to be looked at.
func (l *look) due() time.Time {
	at := l.nextScan()
	if _, there := l.root(); there && (len(l.touched) > 0 || len(l.machine.unsure) > 0) {
		at = earlier(at, l.ticked.Add(l.pause(l.tickCost)))
	}
	return at
}

func (l *look) nextScan() time.Time {
	_, there := l.root()
	switch {
	case l.state == Starting:
		return time.Time{}
	case l.again:
		return l.scanned.Add(l.pause(l.scanCost))
	case l.deaf || !there:
		return l.scanned.Add(max(l.machine.pace.poll, min(pollShare*l.scanCost, pollLimit), l.scanCost))
	}
	return l.scanned.Add(scanEvery)
}

// pause is for how long nothing is looked at after a look that took so long.
// Files that wait are worth more than the time that it takes.
func (l *look) pause(cost time.Duration) time.Duration {
	return max(l.machine.pace.tick, min(tickShare*cost, tickLimit), cost)
}

// round looks at what is due; it reports whether that was everything.
func (l *look) round(now time.Time) (scanned bool) {
	if now.Before(l.due()) {
		return false
	}
	if scanned = !now.Before(l.nextScan()); scanned {
		l.scan(now)
		l.scanned, l.scanCost = time.Now(), time.Since(now)
	}
	begun := time.Now()
	if _, there := l.root(); there {
		for name := range l.machine.unsure {
			l.touched[name] = true
		}
		for name := range l.touched {
			l.tree.examine(name, now)
		}
	}
	clear(l.touched)
	l.ticked, l.tickCost = time.Now(), time.Since(begun)
	return scanned
}

// checkRoot finds out whether the folder is still there and still the same.
func (l *look) checkRoot() {
	at, info, err := groundOf(l.dir, l.disk)
	_, there := l.root()
	switch {
	case l.state == Starting:
	case err != nil || !info.IsDir():
		l.leave()
	case !there || at != l.at:
		l.again, l.fresh = true, true
	}
}

// leave is for a folder that is not there any more. Nothing is known about its
// files until it is.
func (l *look) leave() {
	if l.state == Gone {
		return
	}
	l.detach()
	l.state = Gone
	l.note(Fault{Kind: Missing, Reason: "the folder is not there; what it has published stays on the ring",
		Hint: "make it again, or stop watching it:  dhtfs watch rm DIR"})
}

func (l *look) detach() {
	_ = l.tree.events.Close()
	l.tree.events = events{notifier: deaf{}}
	l.tree.dirs, l.tree.places = map[string]*dir{}, map[place]string{}
}

// scan looks at the whole folder.
func (l *look) scan(now time.Time) {
	at, info, err := groundOf(l.dir, l.disk)
	if err != nil || !info.IsDir() {
		l.again, l.fresh = false, false
		l.leave()
		return
	}
	_, there := l.root()
	moved := l.at.other(at)
	if !there || l.fresh || l.at != at || l.deaf && now.Sub(l.attached) >= scanEvery {
		l.attach(at, now)
	}
	l.again, l.fresh = false, false
	if moved {
		l.note(Fault{Kind: Replaced, Reason: "another folder, or another disk, has taken the place of the one that was watched; files that are not in it stay on the ring"})
	}
	l.faults.begin()
	l.tree.scan(info, moved, now)
	l.faults.end()
	l.state = Watching
	if l.deaf {
		l.state = Polling
	}
}

// attach begins to watch the folder that is there now.
func (l *look) attach(at ground, now time.Time) {
	l.detach()
	l.at, l.attached, l.deaf = at, now, false
	for _, kind := range []Kind{Missing, Remote, Watches, Events} {
		l.faults.clear(kind, "")
	}
	if system := l.remote(l.dir); system != "" {
		l.deaf = true
		l.note(Fault{Kind: Remote, Reason: "the folder is on " + system + ", which does not tell of changes made by other machines, so it is scanned every few seconds"})
		return
	}
	var err error
	if l.tree.events, err = l.listen(); err != nil {
		l.unheard(err)
	}
}

// unheard goes over to polling when a folder cannot be watched. One that is
// gone, or that cannot be read either, is no reason.
func (l *look) unheard(err error) {
	if isGone(err) || errors.Is(err, fs.ErrPermission) {
		return
	}
	l.deaf = true
	l.note(watchFault(err))
}
