package node

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// sortStrays looks at the files held here whose keys are none of this node's
// any more. A register that still names this node is moved to where it belongs;
// a copy that no longer counts is dropped once it is certain that nobody needs
// it and some time has passed.
func (n *Node) sortStrays(ctx context.Context, mine arcs, work *errgroup.Group, r *roundResult) (err error) {
	seen := map[string]bool{}
	var p place
	for reg, err := range n.store.Registers(chord.ID{}, chord.ID{}, filestore.Cursor{}) {
		if err != nil {
			return err
		}
		rec := reg.Record
		if rec == nil {
			continue
		}
		key := chord.KeyOf(rec.Name)
		if mine.contains(key) && rec.Voters.Contains(n.self()) {
			continue
		}
		if !reg.Held && !rec.Voters.Contains(n.self()) {
			continue // an ex-voter's memory
		}
		if p.Want == 0 || !p.contains(key) {
			if p, err = n.place(ctx, key); err != nil {
				return err
			}
		}
		if rec.Voters.Contains(n.self()) {
			r.wrong++
			if r.wait(n.settles(p).Add(n.turn(p.Want))) { // the group is at it
				continue
			}
			target := n.target(p, key, rec.Voters.New)
			work.Go(func() error { return n.move(ctx, rec.Name, target) })
			continue
		}
		seen[rec.Name] = true
		if since, ok := n.repair.strays[rec.Name]; !ok {
			n.repair.strays[rec.Name] = time.Now()
		} else if time.Since(since) >= n.cfg.Timing.DropAfter {
			if rec.Wanted() > len(rec.Voters.New) {
				n.repair.strays[rec.Name] = time.Now() // one that is wanted is looked at again after as long
			}
			work.Go(func() error { return n.dropStray(ctx, *rec, reg.Accepted) })
		}
	}
	for name := range n.repair.strays {
		if !seen[name] {
			delete(n.repair.strays, name)
		}
	}
	return nil
}

// dropStray deletes this node's copy when the register, read from a majority,
// no longer names the node, every voter confirms that it holds the content
// durably, and the copy is none of those wanted beyond the voters.
func (n *Node) dropStray(ctx context.Context, mine filestore.Record, at filestore.Ballot) error {
	f, err := n.read(ctx, mine.Name)
	if err != nil || !f.confirmed || f.record == nil {
		return err
	}
	v := f.record.Voters
	if v.Joint() || slices.Contains(v.New, n.self()) {
		return nil
	}
	if rec := f.live(); rec != nil {
		for _, s := range n.holdersOf(ctx, *rec) {
			if s.Voter && s.State != Durable {
				return nil
			}
		}
		if rec.Op == mine.Op && n.isExtra(ctx, *rec) {
			return nil
		}
	}
	n.log.Debug("dropping a copy that is no longer needed", "name", mine.Name)
	return n.store.Drop(mine.Name, at)
}

// sameMachines compares voter lists as sets.
func sameMachines(a, b []MachineID) bool {
	if len(a) != len(b) {
		return false
	}
	for _, m := range a {
		if !slices.Contains(b, m) {
			return false
		}
	}
	return true
}
