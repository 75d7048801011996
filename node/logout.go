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

// Logout leaves the ring for good: takes no new files, moves every register
// that this node votes in to its heirs, waits until they hold the content
// durably, publishes the signed statement and tells the neighbours. Afterwards
// Run returns. After timeout it leaves all the same; Short then names the files
// that have fewer copies than they should, of which it keeps its own. The last member of a ring cannot
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
	stopTelling := n.keepTelling(ctx)
	defer stopTelling()

	report := LogoutReport{}
	open := map[string]bool{} // handed over, and not known to have all its copies
	for {
		moved, handed, err := n.handOver(ctx)
		report.Moved += moved
		for _, name := range handed {
			open[name] = true
		}
		waiting := 0
		for name := range open {
			switch n.copiesOf(ctx, name) {
			case complete:
				delete(open, name)
			case underWay:
				waiting++
			}
		}
		if err == nil && moved == 0 && waiting == 0 || ctx.Err() != nil {
			break
		}
		if moved == 0 && sleep(ctx, time.Second) != nil {
			break
		}
	}
	report.Short = slices.Sorted(maps.Keys(open))
	if err := n.dropHandedOver(ctx, open); err != nil {
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

// keepTelling lets every member know that this node is leaving, so that none
// makes it a voter, and says so again until it is stopped: a node that dies
// while it leaves is soon taken for what it then is, a member that is down.
func (n *Node) keepTelling(ctx context.Context) (stop func()) {
	tell := func() {
		n.members.setLeaving(n.self())
		others := n.members.others()
		answers := ask(n, others, func(m MachineID) (struct{}, error) {
			return struct{}{}, n.call(ctx, m, callLeaving, struct{}{}, nil)
		})
		for range others {
			<-answers
		}
	}
	tell()
	ctx, cancel := context.WithCancel(ctx)
	n.tasks.run(func() {
		for sleep(ctx, leavingFor/3) == nil {
			tell()
		}
	})
	return cancel
}

// handOver moves every register that names this node to its heirs and returns
// how many it moved, and the names that it tried to.
func (n *Node) handOver(ctx context.Context) (moved int, handed []string, err error) {
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
		at := p // the next names may belong elsewhere
		work.Go(func() error {
			err := n.handToHeirs(ctx, at, rec.Name)
			mu.Lock()
			defer mu.Unlock()
			handed = append(handed, rec.Name)
			if err == nil {
				moved++
			}
			return err
		})
	}
	err = errors.Join(err, work.Wait())
	return moved, handed, err
}

// handToHeirs moves a register to the group, or, when that does not work
// because some of it are down, to those that are there.
func (n *Node) handToHeirs(ctx context.Context, p place, name string) error {
	target := n.target(p, chord.KeyOf(name), nil)
	err := n.move(ctx, name, target)
	if err == nil {
		return nil
	}
	present := slices.DeleteFunc(target, func(m MachineID) bool { return p.rank(m) < 0 })
	if len(present) == 0 {
		return err
	}
	return n.move(ctx, name, present)
}

// dropHandedOver deletes this node's copies of what its heirs confirm to hold. Those of
// names that have too few copies stay.
func (n *Node) dropHandedOver(ctx context.Context, short map[string]bool) error {
	work := &errgroup.Group{}
	work.SetLimit(repairAtOnce)
	for reg, err := range n.store.Registers(chord.ID{}, chord.ID{}, filestore.Cursor{}) {
		if err != nil {
			return errors.Join(err, work.Wait())
		}
		if reg.Record != nil && reg.Held && !reg.Record.Voters.Contains(n.self()) && !short[reg.Record.Name] {
			work.Go(func() error { return n.dropStray(ctx, reg.Record.Name) })
		}
	}
	return work.Wait()
}

// completeness tells how far a name's copies are.
type completeness uint8

const (
	complete completeness = iota // as many voters as there should be confirm their copies
	underWay                     // a voter that answers lacks its copy
	short                        // all that answer have their copies, and there are too few of them
)

// copiesOf asks the voters of a name for their copies.
func (n *Node) copiesOf(ctx context.Context, name string) completeness {
	f, err := n.read(ctx, name)
	if err != nil {
		return short
	}
	rec := f.live()
	if rec == nil {
		return complete
	}
	durable := 0
	for _, h := range n.holdersOf(ctx, *rec) {
		switch {
		case !h.Voter || h.State == Unreachable:
		case h.State == Durable:
			durable++
		default:
			return underWay
		}
	}
	if durable < n.want() {
		return short
	}
	return complete
}
