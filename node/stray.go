package node

import (
	"context"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// strays are the copies held here that no register counts on, and since when.
type strays struct {
	since  map[string]time.Time
	wanted map[string]bool               // more copies are wanted of them than there are voters
	seen   map[arc]filestore.Fingerprint // stretches in which there was nothing else to be done
}

func newStrays() strays {
	return strays{since: map[string]time.Time{}, wanted: map[string]bool{}, seen: map[arc]filestore.Fingerprint{}}
}

// sortStrays looks at the registers held here whose keys are none of this node's
// any more, where something has changed since it last looked. One that still
// names this node, or none that is a member, is moved to where it belongs; a copy
// that no longer counts is dropped once it is certain that nobody needs it and some
// time has passed.
func (n *Node) sortStrays(ctx context.Context, mine arcs, r *roundResult) (jobs []job, err error) {
	s := &n.repair.strays
	seen := map[arc]filestore.Fingerprint{}
	for _, a := range mine.gaps() {
		sum, _ := n.fingerprint(a)
		if before, ok := s.seen[a]; !ok || before != sum {
			due, waiting, err := n.sortStraysIn(ctx, a, r)
			if err != nil {
				return nil, err
			}
			jobs = append(jobs, due...)
			if waiting {
				continue
			}
		}
		seen[a] = sum
	}
	s.seen = seen
	if err := n.forgetStrays(); err != nil {
		return nil, err
	}
	for name, since := range s.since {
		if time.Since(since) >= n.cfg.Timing.DropAfter {
			if s.wanted[name] {
				s.since[name] = time.Now()
			}
			jobs = append(jobs, job{name, repairLast, func(ctx context.Context) error { return n.dropStray(ctx, name) }})
		}
	}
	return jobs, nil
}

// repairLast is the place of jobs that make no copies.
const repairLast = 1 << 20

// sortStraysIn is sortStrays for one stretch of the ring. waiting: there are
// registers to be moved, now or later.
func (n *Node) sortStraysIn(ctx context.Context, a arc, r *roundResult) (jobs []job, waiting bool, err error) {
	var p place
	for reg, err := range n.store.Registers(a.After, a.UpTo, filestore.Cursor{}) {
		if err != nil {
			return nil, false, err
		}
		rec := reg.Record
		switch {
		case rec == nil, n.doubts.has(reg.Name, reg.Accepted):
			continue
		case rec.Voters.Contains(n.self()):
		case reg.Held && n.orphaned(rec.Voters): // nobody else may know of it
		case reg.Held:
			if _, known := n.repair.strays.since[rec.Name]; !known {
				n.repair.strays.since[rec.Name] = time.Now()
			}
			continue
		default:
			continue // an ex-voter's memory
		}
		if p.Want == 0 || !p.contains(reg.Key) {
			if p, err = n.place(ctx, reg.Key); err != nil {
				return nil, false, err
			}
		}
		r.wrong++
		waiting = true
		if r.wait(n.settles(p).Add(n.turn(p.Want))) { // the group is at it
			continue
		}
		target := n.target(p, reg.Key, rec.Voters.New)
		jobs = append(jobs, job{rec.Name, repairLast, func(ctx context.Context) error {
			if !n.worthAsking(rec.Name, rec.Voters) {
				return ErrUnavailable
			}
			return n.move(ctx, rec.Name, target)
		}})
	}
	return jobs, waiting, nil
}

// forgetStrays forgets those that are none any more. One that may be a copy
// wanted beyond the voters is looked at, and then again after as long.
func (n *Node) forgetStrays() error {
	for name := range n.repair.strays.since {
		reg, err := n.store.Register(name)
		if err != nil {
			return err
		}
		if !reg.Held || reg.Record.Voters.Contains(n.self()) {
			delete(n.repair.strays.since, name)
			delete(n.repair.strays.wanted, name)
		} else {
			n.repair.strays.wanted[name] = reg.Record.Wanted() > len(reg.Record.Voters.New)
		}
	}
	return nil
}

// dropStray deletes this node's copy when the register, read from a majority,
// no longer names the node, every voter confirms that it holds the content
// durably, and the copy is none of those wanted beyond the voters.
func (n *Node) dropStray(ctx context.Context, name string) error {
	own, err := n.store.Register(name)
	if err != nil || !own.Held {
		return err
	}
	f, err := n.read(ctx, name)
	if err != nil || !f.confirmed || f.record == nil {
		return err
	}
	v := f.record.Voters
	if v.Joint() || slices.Contains(v.New, n.self()) {
		return nil
	}
	if !register.Supersedes(f.record, own.Record, own.Accepted) {
		return n.learnChosen(ctx, f.record, f.view)
	}
	if slices.ContainsFunc(v.New, n.silence.of) {
		return nil // it will not confirm
	}
	if rec := f.live(); rec != nil {
		for _, s := range n.holdersOf(ctx, *rec) {
			if s.Voter && s.State != Durable {
				return nil
			}
		}
		if rec.Op == own.Record.Op && n.isExtra(ctx, *rec) {
			return nil
		}
	}
	n.log.Debug("dropping a copy that is no longer needed", "name", name)
	return n.store.Drop(name, own.Accepted)
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
