package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// Bounds of a fan-out.
const (
	branchAhead    = 4                // chunks that one branch may be behind the others
	stallLimit     = 10 * time.Second // after so long without taking a chunk a branch is given up
	holdFirst      = 2 * time.Second  // that one branch may hold up enough others, besides half the time it all takes
	sealGrace      = 2 * time.Second  // for the last copies once enough are durable
	lastWordsGrace = 3 * time.Second  // for the reasons of those left behind, when a store fails
	sealTimeout    = time.Minute      // for making the content durable, on top of its size at obtainRate
)

// errTooSlow is why a branch was left behind that had not failed.
var errTooSlow = errors.New("took too long")

// fanout stages one content at several machines while it arrives. Every chunk
// goes to each branch; a branch that fails or stalls is left behind as long as
// enough others are left. One goroutine owns the fan-out: it calls write for
// each chunk, then seal or abort.
type fanout struct {
	node     *Node
	name     string
	size     int64 // less than 0: unknown
	own      bool  // the chunks are made in this process: not checked again here
	enough   func(has func(MachineID) bool) bool
	want     int // copies that the ring or this store asks for; there may be enough with fewer
	branches []*branch
	begun    time.Time
	finished chan *branch // has room for all
}

// branch is one machine's part, staged by a goroutine of its own. The owner of
// the fan-out closes in and record; err belongs to the goroutine until done is closed.
type branch struct {
	machine MachineID
	copies  bool // it counts as one of the copies asked for
	in      chan transfer.Chunk
	record  chan filestore.Record // what the content turned out to be; closed without: abort
	cancel  context.CancelFunc
	opened  chan struct{}    // closed once have is known; a branch may fail before
	have    []filestore.Hash // the chunks that an earlier attempt has left there
	done    chan struct{}
	err     error
	left    bool          // behind, by the owner
	held    time.Duration // that the owner has waited for it alone
}

// newFanout opens a branch to each of a name's voters, and to machines beyond them. A
// quorum of the voters must get through.
func (n *Node) newFanout(ctx context.Context, h storeHeader, voters filestore.Voters, beyond []MachineID) *fanout {
	to := append(voters.All(), beyond...)
	f := &fanout{
		node: n, name: h.Name, size: h.Size, own: h.Publisher == n.self(),
		enough: func(has func(MachineID) bool) bool { return register.Quorum(voters, has) },
		want:   max(h.copies(), n.quorum(len(voters.New))),
		begun:  time.Now(), finished: make(chan *branch, len(to)),
	}
	for _, m := range to {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		b := &branch{
			machine: m, copies: slices.Contains(voters.New, m) || slices.Contains(beyond, m), in: make(chan transfer.Chunk, branchAhead),
			record: make(chan filestore.Record, 1), cancel: cancel, opened: make(chan struct{}), done: make(chan struct{}),
		}
		f.branches = append(f.branches, b)
		if !n.tasks.run(func() {
			defer cancel()
			b.err = f.run(ctx, b)
			n.refused(b.machine, max(0, h.Size), b.err)
			b.end(f)
		}) {
			b.err = ErrLeaving
			b.end(f)
		}
	}
	return f
}

// end tells the owner that the branch is done. Chunks that are still in its
// channel are left to the garbage collector.
func (b *branch) end(f *fanout) {
	close(b.done)
	f.finished <- b
}

// sink begins to stage at a branch's machine.
func (f *fanout) sink(ctx context.Context, b *branch) (sink, error) {
	switch {
	case b.machine == f.node.self():
	case isSmall(f.size):
		return &callSink{node: f.node, ctx: ctx, machine: b.machine}, nil
	default:
		r, err := f.node.stageAt(ctx, b.machine, f.name, f.size)
		if err != nil {
			return nil, err
		}
		b.have = r.known.have
		close(b.opened)
		return r, nil
	}
	l, err := f.node.stageHere(f.name, f.size)
	if err != nil {
		return nil, err
	}
	b.have = l.known.have
	close(b.opened)
	if f.own {
		l.view = f.node.coding.decode.Unchecked
	}
	return l, nil
}

// run stages what comes in at one machine.
func (f *fanout) run(ctx context.Context, b *branch) error {
	n := f.node
	s, err := f.sink(ctx, b)
	if err != nil {
		return err
	}
	rec, err := b.pass(s, n.tasks.closing)
	if err != nil {
		s.abort()
		return err
	}
	return s.seal(rec)
}

// pass writes the chunks to the sink until their end, and returns what they
// make up.
func (b *branch) pass(s sink, closing <-chan struct{}) (filestore.Record, error) {
	for {
		select {
		case c, more := <-b.in:
			if !more {
				rec, complete := <-b.record
				if !complete {
					return rec, ErrInterrupted
				}
				return rec, nil
			}
			err := s.write(c)
			c.Release()
			if err != nil {
				return filestore.Record{}, err
			}
		case <-closing:
			return filestore.Record{}, ErrLeaving
		}
	}
}

// write passes a chunk to every branch. The chunk stays the caller's.
func (f *fanout) write(c transfer.Chunk) error {
	alive := map[MachineID]bool{}
	for _, b := range f.branches {
		if b.left {
			continue
		}
		c.Retain()
		if f.offer(b, c) {
			alive[b.machine] = true
		} else {
			c.Release()
			f.leave(b)
		}
	}
	if !f.enough(func(m MachineID) bool { return alive[m] }) {
		return f.failure()
	}
	return nil
}

// offer gives a chunk to a branch; false when it failed or does not take it in time.
func (f *fanout) offer(b *branch, c transfer.Chunk) bool {
	select {
	case <-b.done:
		return false
	default:
	}
	select {
	case b.in <- c:
		return true
	default:
	}
	start := time.Now()
	timer := time.NewTimer(f.patienceWith(b))
	defer timer.Stop()
	select {
	case b.in <- c:
		b.held += time.Since(start)
		return true
	case <-b.done:
	case <-timer.C:
	}
	return false
}

// patienceWith is how long a branch may take for a chunk. One without which
// there are enough, and as many as were asked for, must not make a store much longer:
// its copy is made later.
func (f *fanout) patienceWith(b *branch) time.Duration {
	failed := f.failed()
	without := func(m MachineID) bool { return m != b.machine && failed[m] == nil }
	switch {
	case !f.enough(without):
		return stallLimit
	case f.wanted(without):
		return min(stallLimit, sealLimit(f.size)-b.held)
	}
	return min(stallLimit, holdFirst+time.Since(f.begun)/2-b.held)
}

// wanted reports whether there are fewer copies than were asked for, and more to be had:
// not from branches that have failed, nor from machines that did not answer lately and
// have not begun.
func (f *fanout) wanted(has func(MachineID) bool) bool {
	failed := f.failed()
	copies, more := 0, 0
	for _, b := range f.branches {
		switch {
		case !b.copies:
		case has(b.machine):
			copies++
		case failed[b.machine] == nil && (b.isOpen() || !f.node.silence.of(b.machine)):
			more++
		}
	}
	return copies < f.want && more > 0
}

// isOpen reports whether the branch's machine has begun to take chunks.
func (b *branch) isOpen() bool {
	select {
	case <-b.opened:
		return true
	default:
		return false
	}
}

// leave goes on without a branch.
func (f *fanout) leave(b *branch) {
	b.left = true
	close(b.in)
	close(b.record)
	b.cancel()
}

// abort ends all branches. What they have of a large content may be kept, see resume.go.
func (f *fanout) abort() {
	for _, b := range f.branches {
		if !b.left {
			f.leave(b)
		}
	}
}

// sealLimit is how long making a content durable may take; size is less than zero if it
// is not known.
func sealLimit(size int64) time.Duration {
	return sealTimeout + time.Duration(max(0, size)/obtainRate)*time.Second
}

// seal ends the content and waits until it is durable at all branches, or at enough of
// them and the others are slow; those that were asked for it waits for as long as for
// those that it takes.
func (f *fanout) seal(ctx context.Context, rec filestore.Record) error {
	limit := time.NewTimer(sealLimit(rec.Size))
	defer limit.Stop()
	for _, b := range f.branches {
		if !b.left {
			b.record <- rec
			close(b.in)
			close(b.record)
		}
	}
	durable := map[MachineID]bool{}
	isDurable := func(m MachineID) bool { return durable[m] }
	var grace <-chan time.Time
	for range f.branches {
		select {
		case b := <-f.finished:
			if b.err == nil {
				durable[b.machine] = true
			} else {
				f.node.log.Info("a copy failed", "name", f.name, "peer", f.node.members.label(b.machine), "err", b.err)
			}
		case <-grace:
			time.AfterFunc(sealTimeout, f.cancel) // they may come in later
			return nil
		case <-limit.C:
			f.cancel()
			if f.enough(isDurable) {
				return nil
			}
			return f.failure()
		case <-ctx.Done():
			f.cancel()
			return f.failure()
		}
		if grace == nil && f.enough(isDurable) && !f.wanted(isDurable) {
			grace = time.After(f.graceFor(durable))
		}
	}
	if !f.enough(isDurable) {
		return f.failure()
	}
	return nil
}

// graceFor is how long the last copies are waited for: not at all if only
// machines are left that did not answer lately.
func (f *fanout) graceFor(durable map[MachineID]bool) time.Duration {
	failed := f.failed()
	for _, b := range f.branches {
		if !durable[b.machine] && failed[b.machine] == nil && !f.node.silence.of(b.machine) {
			return sealGrace
		}
	}
	return 0
}

func (f *fanout) cancel() {
	for _, b := range f.branches {
		b.cancel()
	}
}

// failure says why too few branches are left. It is one of the causes below
// only if that alone is to blame: a full disk at one machine is not why a file
// cannot be stored while two others do not answer.
func (f *fanout) failure() error {
	f.lastWords()
	failed := f.failed()
	var text []string
	for _, b := range f.branches {
		if err := failed[b.machine]; err != nil {
			text = append(text, f.node.members.label(b.machine)+": "+err.Error())
		}
	}
	all := strings.Join(text, "; ")
	for _, cause := range []error{filestore.ErrNoSpace, filestore.ErrCollision, filestore.ErrBadName, filestore.ErrCorrupt} {
		if !f.enough(func(m MachineID) bool { return !errors.Is(failed[m], cause) }) {
			return fmt.Errorf("%w: %s", cause, all)
		}
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, all)
}

// lastWords waits a moment for what the branches that are left behind have to
// say: whoever asked is to hear of every full disk, and not of the first ones.
func (f *fanout) lastWords() {
	if len(f.failed()) == 0 {
		return
	}
	patience := time.NewTimer(lastWordsGrace)
	defer patience.Stop()
	for _, b := range f.branches {
		select {
		case <-b.done:
		case <-patience.C:
			return
		}
	}
}

// failed are the machines whose branches have failed so far, and why.
func (f *fanout) failed() map[MachineID]error {
	failed := map[MachineID]error{}
	for _, b := range f.branches {
		select {
		case <-b.done:
			if b.err != nil {
				failed[b.machine] = b.err
			}
		default:
			if b.left {
				failed[b.machine] = errTooSlow
			}
		}
	}
	return failed
}
