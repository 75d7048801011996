package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// leavingRequest says that the sender hands over its files and will be gone, or
// with Stay that it will not after all.
type leavingRequest struct {
	Stay bool `cbor:"1,keyasint,omitempty"`
}

// Logout leaves the ring for good: takes no new files, moves every register
// that this node votes in to its heirs, waits until they hold the content
// durably, publishes the signed statement and tells the neighbours. Afterwards
// Run returns. After timeout it leaves all the same; Short then names the files
// that have fewer copies than they should. The last member of a ring cannot
// hand over to anybody: ErrLastMember, and nothing has happened.
func (n *Node) Logout(ctx context.Context, timeout time.Duration) (LogoutReport, error) {
	start := time.Now()
	if n.members.count() < 2 {
		if files, _, _ := n.store.Usage(); files > 0 {
			return LogoutReport{}, &OpError{Op: "logout", Err: ErrLastMember}
		}
	}
	if !n.state.leaving.CompareAndSwap(false, true) {
		return LogoutReport{}, &OpError{Op: "logout", Err: ErrLeaving}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	n.members.setLeaving(n.self(), true)
	n.tellLeaving(ctx, false)

	report := LogoutReport{}
	short := map[string]bool{}
	for {
		moved, lacking, err := n.handOver(ctx)
		report.Moved += moved
		for _, name := range lacking {
			short[name] = true
		}
		for name := range short {
			if ctx.Err() == nil && !n.lacks(ctx, name) {
				delete(short, name)
			}
		}
		if err == nil && moved == 0 && len(short) == 0 || ctx.Err() != nil {
			break
		}
		if moved == 0 && sleep(ctx, time.Second) != nil {
			break
		}
	}
	report.Short = slices.Sorted(maps.Keys(short))
	if err := n.dropHandedOver(ctx); err != nil {
		n.log.Warn("some copies stay here after the logout", "err", err)
	}
	n.depart(context.WithoutCancel(ctx))
	report.Elapsed = time.Since(start)
	return report, nil
}

// depart closes the ring over this node's places and publishes the statement.
// From then on nobody speaks to this node.
func (n *Node) depart(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	if err := n.ring.Leave(ctx); err != nil {
		n.log.Warn("could not tell all neighbours of leaving", "err", err)
	}
	if _, err := n.members.set.Leave(n.membership.identity, time.Now()); err != nil {
		n.log.Error("cannot sign the logout", "err", err)
	}
	n.members.save()
	others := n.members.others()
	answers := ask(n, others, func(m MachineID) (struct{}, error) { return struct{}{}, n.gossip(ctx, m) })
	for range others {
		<-answers
	}
	close(n.wake.left)
}

// tellLeaving lets every member know, so that none makes this node a voter.
func (n *Node) tellLeaving(ctx context.Context, stay bool) {
	others := n.members.others()
	answers := ask(n, others, func(m MachineID) (struct{}, error) {
		return struct{}{}, n.call(ctx, m, callLeaving, leavingRequest{Stay: stay}, nil)
	})
	for range others {
		<-answers
	}
}

// handOver moves every register that names this node to its heirs and returns
// how many it moved and which files still lack a copy.
func (n *Node) handOver(ctx context.Context) (moved int, short []string, err error) {
	work := &errgroup.Group{}
	work.SetLimit(repairAtOnce)
	var mu sync.Mutex
	var p place
	for reg, listErr := range n.store.Registers(chord.ID{}, chord.ID{}, filestore.Cursor{}) {
		if err = listErr; err != nil {
			break
		}
		rec := reg.Record
		if rec == nil || !rec.Voters.Contains(n.self()) {
			continue
		}
		key := chord.KeyOf(rec.Name)
		if p.Want == 0 || !p.contains(key) {
			if p, err = n.place(ctx, key); err != nil {
				break
			}
		}
		target := n.target(p, key, nil)
		work.Go(func() error {
			err := n.move(ctx, rec.Name, target)
			lacks := err != nil || n.lacks(ctx, rec.Name)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				moved++
			}
			if lacks {
				short = append(short, rec.Name)
			}
			return err
		})
	}
	err = errors.Join(err, work.Wait())
	return moved, short, err
}

// dropHandedOver deletes this node's copies of what its heirs confirm to hold.
func (n *Node) dropHandedOver(ctx context.Context) error {
	work := &errgroup.Group{}
	work.SetLimit(repairAtOnce)
	for reg, err := range n.store.Registers(chord.ID{}, chord.ID{}, filestore.Cursor{}) {
		if err != nil {
			return errors.Join(err, work.Wait())
		}
		if reg.Record != nil && reg.Held && !reg.Record.Voters.Contains(n.self()) {
			work.Go(func() error { return n.dropStray(ctx, *reg.Record) })
		}
	}
	return work.Wait()
}

// lacks reports whether some voter of a live name does not confirm its copy.
func (n *Node) lacks(ctx context.Context, name string) bool {
	f, err := n.read(ctx, name)
	if err != nil {
		return true
	}
	rec := f.live()
	if rec == nil {
		return false
	}
	for _, h := range n.holdersOf(ctx, *rec, f.view.Basis) {
		if h.Voter && h.State != Durable {
			return true
		}
	}
	return false
}
