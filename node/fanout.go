package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// Bounds of a fan-out.
const (
	branchAhead = 4                // chunks that one branch may be behind the others
	stallLimit  = 10 * time.Second // after so long without taking a chunk a branch is given up
	sealGrace   = 2 * time.Second  // for the last copies once enough are durable
)

// fanout stages one content at several machines while it arrives. Every chunk
// goes to each branch; a branch that fails or stalls is left behind as long as
// enough others are left. One goroutine owns the fan-out: it calls write for
// each chunk, then seal or abort.
type fanout struct {
	node     *Node
	name     string
	need     int
	branches []*branch
	finished chan *branch // has room for all
}

// branch is one machine's part, staged by a goroutine of its own. The owner of
// the fan-out closes in and record; err belongs to the goroutine until done is closed.
type branch struct {
	machine MachineID
	in      chan transfer.Chunk
	record  chan filestore.Record // what the content turned out to be; closed without: abort
	cancel  context.CancelFunc
	done    chan struct{}
	err     error
	left    bool // behind, by the owner
}

// newFanout opens a branch to each machine; need of them must get through.
func (n *Node) newFanout(ctx context.Context, name string, size int64, to []MachineID, need int) *fanout {
	f := &fanout{node: n, name: name, need: need, finished: make(chan *branch, len(to))}
	for _, m := range to {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		b := &branch{
			machine: m, in: make(chan transfer.Chunk, branchAhead),
			record: make(chan filestore.Record, 1), cancel: cancel, done: make(chan struct{}),
		}
		f.branches = append(f.branches, b)
		n.tasks.Go(func() {
			defer cancel()
			b.err = n.runBranch(ctx, b, name, size)
			close(b.done)
			f.finished <- b
			for c := range b.in { // what was under way when it failed
				c.Release()
			}
		})
	}
	return f
}

// runBranch stages what comes in at one machine.
func (n *Node) runBranch(ctx context.Context, b *branch, name string, size int64) error {
	var s sink
	var err error
	if b.machine == n.self() {
		s, err = n.stageHere(name, size)
	} else {
		s, err = n.stageAt(ctx, b.machine, name, size)
	}
	if err != nil {
		return err
	}
	for c := range b.in {
		err := s.write(c)
		c.Release()
		if err != nil {
			s.abort()
			return err
		}
	}
	rec, complete := <-b.record
	if !complete {
		s.abort()
		return ErrInterrupted
	}
	return s.seal(rec)
}

// write passes a chunk to every branch. The chunk stays the caller's.
func (f *fanout) write(c transfer.Chunk) error {
	alive := 0
	for _, b := range f.branches {
		if b.left {
			continue
		}
		c.Retain()
		if f.offer(b, c) {
			alive++
		} else {
			c.Release()
			f.leave(b)
		}
	}
	if alive < f.need {
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
	timer := time.NewTimer(stallLimit)
	defer timer.Stop()
	select {
	case b.in <- c:
		return true
	case <-b.done:
	case <-timer.C:
	}
	return false
}

// leave goes on without a branch.
func (f *fanout) leave(b *branch) {
	b.left = true
	close(b.in)
	close(b.record)
	b.cancel()
}

// abort ends all branches; nothing of the content is kept.
func (f *fanout) abort() {
	for _, b := range f.branches {
		if !b.left {
			f.leave(b)
		}
	}
}

// seal ends the content and waits until it is durable at all branches, or at
// enough of them and the others are slow. It returns where it is durable.
func (f *fanout) seal(ctx context.Context, rec filestore.Record) ([]MachineID, error) {
	for _, b := range f.branches {
		if !b.left {
			b.record <- rec
			close(b.in)
			close(b.record)
		}
	}
	var durable []MachineID
	var grace <-chan time.Time
	for range f.branches {
		select {
		case b := <-f.finished:
			if b.err == nil {
				durable = append(durable, b.machine)
			} else {
				f.node.log.Info("a copy failed", "name", f.name, "peer", f.node.members.label(b.machine), "err", b.err)
			}
		case <-grace:
			return durable, nil
		case <-ctx.Done():
			f.cancel()
			return durable, ctx.Err()
		}
		if len(durable) >= f.need && grace == nil {
			grace = time.After(sealGrace)
		}
	}
	if len(durable) < f.need {
		return durable, f.failure()
	}
	return durable, nil
}

func (f *fanout) cancel() {
	for _, b := range f.branches {
		b.cancel()
	}
}

// failure says why too few branches are left.
func (f *fanout) failure() error {
	errs := []error{ErrUnavailable}
	for _, b := range f.branches {
		select {
		case <-b.done:
			if b.err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", f.node.members.label(b.machine), b.err))
			}
		default:
			if b.left {
				errs = append(errs, fmt.Errorf("%s: took nothing for %v", f.node.members.label(b.machine), stallLimit))
			}
		}
	}
	return errors.Join(errs...)
}
