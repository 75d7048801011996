package watch

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// watcher watches one folder. The goroutine of run owns all of it but status,
// which anybody may read, and what the workers use.
type watcher struct {
	folder  Folder
	log     *slog.Logger
	turn    *turn
	publish *publisher
	journal *journal
	machine *machine
	look    *look
	faults  *faults
	results chan result
	workers sync.WaitGroup
	status  atomic.Pointer[Status]
	shown   shown
}

// result is the outcome of a job.
type result struct {
	job     job
	outcome outcome
}

// run watches until ctx ends, and returns when all that it started has ended.
func (w *watcher) run(ctx context.Context) {
	defer w.end()
	beat := time.NewTicker(w.machine.pace.beat)
	defer beat.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.look.tree.events.changes:
			if ok {
				w.look.heard(e)
			} else {
				w.look.missed(os.ErrClosed)
			}
		case err, ok := <-w.look.tree.events.errors:
			if !ok {
				err = os.ErrClosed
			}
			w.look.missed(err)
		case r := <-w.results:
			w.finish(r)
		case slots := <-w.turn.came:
			w.turn.arrived(slots)
		case <-beat.C:
			w.machine.retryRefused(time.Now())
			w.look.checkRoot()
		case <-timer.C:
		}
		now := time.Now()
		if scanned := w.look.round(now); scanned {
			w.keep()
		}
		w.remember()
		w.dispatch(ctx, now)
		w.show(now)
		timer.Reset(time.Until(w.wake(now)))
	}
}

// end waits for the workers, which know that it is over, and writes down what
// they have come to.
func (w *watcher) end() {
	idle := make(chan struct{})
	go func() {
		w.workers.Wait()
		close(idle)
	}()
	for busy := true; busy; {
		select {
		case r := <-w.results:
			w.machine.finish(r.job, r.outcome, time.Now())
			w.turn.release(r.job.cost())
		case <-idle:
			busy = false
		}
	}
	w.turn.drop()
	w.remember()
	w.journal.close()
	_ = w.look.tree.events.Close()
}

// wake is when there is something to do if nothing happens before.
func (w *watcher) wake(now time.Time) time.Time {
	at := w.look.due()
	if len(w.machine.queue) > 0 {
		next := w.machine.hold
		if !next.After(now) {
			next = now.Add(w.machine.pace.tick) // there was no slot, or another job comes first
		}
		at = earlier(at, next)
	}
	if w.shown.as != w.showing() {
		at = earlier(at, w.shown.at.Add(w.machine.pace.tick))
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// dispatch hands jobs to workers as long as there are any of both.
func (w *watcher) dispatch(ctx context.Context, now time.Time) {
	defer w.turn.drop()
	root, there := w.look.root()
	for there && len(w.machine.queue) > 0 {
		cost := costOf(w.machine.queue[0].seen.Size)
		if !w.turn.take(ctx, cost, &w.workers) {
			return
		}
		j, ok := w.machine.next(now)
		if !ok {
			w.turn.release(cost)
			return
		}
		w.remember() // that it is begun
		w.workers.Go(func() { w.results <- result{j, w.publish.do(ctx, j, root)} })
	}
}

// finish takes the outcome of a job, and logs what is news.
func (w *watcher) finish(r result) {
	before := w.machine.ring
	w.machine.finish(r.job, r.outcome, time.Now())
	w.turn.release(r.job.cost())
	name, f := printable(w.folder.name(r.job.path)), r.outcome.fault
	switch {
	case before == nil && w.machine.ring != nil:
		w.log.Warn("publishing waits", "folder", w.folder.Dir, "name", name, "err", f.Reason)
	case before != nil && w.machine.ring == nil:
		w.log.Info("publishing goes on", "folder", w.folder.Dir)
	}
	switch r.outcome.verdict {
	case done:
		w.log.Debug(map[bool]string{true: "removed", false: "published"}[r.job.remove], "folder", w.folder.Dir, "name", name)
	case failed:
		level := slog.LevelDebug
		if t := w.machine.tracks[r.job.path]; t == nil || t.tries <= 1 { // otherwise it has been said
			level = slog.LevelWarn
		}
		w.log.Log(context.Background(), level, "not published", "folder", w.folder.Dir, "name", name, "kind", string(f.Kind), "err", f.Reason)
	}
}

// remember writes down what has changed.
func (w *watcher) remember() {
	edits := w.machine.takeEdits()
	for _, e := range edits {
		w.publish.catalog.set(w.folder.name(e.path), e.entry)
	}
	w.written(w.journal.append(edits))
}

// keep writes everything down anew if that is due.
func (w *watcher) keep() {
	root, there := w.look.root()
	head := &w.journal.head
	if !there || head.Root == root.inode && head.Disk == root.disk && !w.journal.wordy(len(w.machine.tracks)) {
		return
	}
	head.Root, head.Disk = root.inode, root.disk
	err := w.journal.rewrite(func(yield func(edit) error) error {
		for path, t := range w.machine.tracks {
			if t.entry == (Entry{}) {
				continue
			}
			if err := yield(edit{path, t.entry}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		w.faults.clear(Memory, "")
	}
	w.written(err)
}

// written deals with a state file that cannot be written: it is only a memory.
func (w *watcher) written(err error) {
	if err != nil {
		w.note(Fault{Kind: Memory, Reason: "after a restart all files will be read again: " + err.Error()})
	}
}

// note remembers a fault and logs it, the first time.
func (w *watcher) note(f Fault) {
	if w.faults.note(f, time.Now()) {
		w.log.Warn("watched folder", "folder", w.folder.Dir, "path", printable(f.Path), "kind", string(f.Kind), "err", f.Reason)
	}
}

// shown is what status says and since when.
type shown struct {
	at time.Time
	as showing
}

// showing is what a status depends on.
type showing struct {
	counts  [phases]int
	ring    *Fault
	faults  uint64
	state   State
	scanned time.Time
}

func (w *watcher) showing() showing {
	return showing{w.machine.counts, w.machine.ring, w.faults.version, w.look.state, w.look.scanned}
}

// show makes status say what is so, a few times a second at most.
func (w *watcher) show(now time.Time) {
	as := w.showing()
	if as == w.shown.as || now.Sub(w.shown.at) < w.machine.pace.tick {
		return
	}
	w.shown = shown{now, as}
	s := &Status{
		Folder: w.folder, State: w.look.state, Scanned: w.look.scanned,
		FilesRead: w.publish.read.files.Load(), BytesRead: w.publish.read.bytes.Load(),
	}
	s.describe(w.machine, w.faults)
	w.status.Store(s)
}
