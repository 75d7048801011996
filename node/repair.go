package node

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/chord"
)

// Timings of repair; see Timing.
const (
	defaultRepairEvery = time.Minute      // a round when nothing happened
	defaultRepairAfter = 15 * time.Second // after the ring changed, so that a restart copies nothing
	defaultJoinSettle  = time.Second      // after a member came or went for good
	defaultDropAfter   = 10 * time.Minute // a copy that nobody counts on is kept so long
	startSettle        = 100 * time.Millisecond
	joinedLately       = 30 * time.Second // a change of the ring so soon after one of the members belongs to it
	claimsSettle       = 3 * time.Second  // a node that came back is ready without the others' word after so long
	takeOverAfter      = time.Minute      // authority is taken without a majority of those who had it
	repairAtOnce       = 8                // names worked on together
)

// repairer remembers from round to round what a node is about to do. All but
// the atomics belongs to the goroutine of runRepair.
type repairer struct {
	round   int                    // since the ring last changed: those after the owner act later
	calm    time.Time              // registers may be moved from then on
	joined  time.Time              // when the members last changed
	fresh   bool                   // this node has just joined and waits for what is handed to it
	lacking map[chord.ID]time.Time // arcs, by their ends, that lack a majority to compare with, and since when
	strays  map[string]time.Time   // copies that nobody counts on, and since when
	missing atomic.Int64           // copies that files held here lack, as of the last round
	done    atomic.Bool            // this node has compared its part of the ring since it came to its place
}

func newRepairer() repairer {
	return repairer{lacking: map[chord.ID]time.Time{}, strays: map[string]time.Time{}}
}

// lackingFor is how long an arc has lacked a majority to compare with.
func (r *repairer) lackingFor(a arc) time.Duration {
	since, ok := r.lacking[a.UpTo]
	if !ok {
		return 0
	}
	return time.Since(since)
}

// roundResult is what a repair round came to.
type roundResult struct {
	lacking  bool // some arc has waited for a majority to compare with for claimsSettle
	compared bool // the ring counts on this node where it should, and every arc is known or long waited for
	wrong    int  // names that are not as they should be
	waiting  int  // of them, those that wait for the ring to be calm
	failed   bool // something could not be put right
}

// runRepair compares what this node holds with its groups, moves registers to
// where they belong, has missing copies made and drops those that are no longer
// needed: some time after the ring changed, and on a schedule.
func (n *Node) runRepair(ctx context.Context) error {
	if err := n.ring.WaitPlaced(ctx); err != nil {
		return nil
	}
	if n.repair.fresh = n.authority.blank(); n.repair.fresh {
		n.repair.joined = time.Now()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.ring.Changed():
			failures = 0
			timer.Reset(n.ringChanged())
			continue
		case <-n.wake.joined:
			failures = 0
			n.repair.joined = time.Now()
			timer.Reset(n.ringChanged())
			continue
		case <-timer.C:
		}
		r, err := n.repairRound(ctx)
		if err != nil {
			n.log.Warn("repair round failed", "err", err)
			r.failed = true
		}
		if r.failed {
			failures++
		} else {
			failures = 0
		}
		n.repair.round++
		timer.Reset(jitter(n.nextRound(r, failures)))
	}
}

// ringChanged begins a new count of rounds and returns when the next is due. A
// node may have restarted: nothing is moved before it had time to come back.
// Members that come or go for good are waited for no longer than it takes the
// ring to take note.
func (n *Node) ringChanged() time.Duration {
	r := &n.repair
	wait := n.cfg.Timing.RepairAfter
	if time.Since(r.joined) < joinedLately {
		wait = n.cfg.Timing.JoinSettle
	}
	r.round = 0
	r.calm = time.Now().Add(wait)
	if !r.done.Load() {
		return startSettle
	}
	return jitter(wait)
}

// nextRound is how long to wait after a round. Rounds that fail wait longer each time.
func (n *Node) nextRound(r roundResult, failures int) time.Duration {
	t := n.cfg.Timing
	switch {
	case !n.repair.done.Load() && failures == 0 && !r.lacking:
		return startSettle
	case r.wrong == 0 && r.compared && failures == 0:
		return t.RepairEvery
	case r.waiting > 0 && r.waiting == r.wrong:
		return max(t.JoinSettle, time.Until(n.repair.calm))
	}
	return min(t.JoinSettle<<min(failures, 10), t.RepairEvery)
}

// repairRound does one round.
func (n *Node) repairRound(ctx context.Context) (r roundResult, err error) {
	mine, err := n.responsibility(ctx)
	if err != nil {
		return r, err
	}
	work := &errgroup.Group{}
	work.SetLimit(repairAtOnce)
	r.compared = n.inPlace(mine)
	var arcs arcs
	for _, p := range mine {
		if err := n.repairArc(ctx, p, work, &r); err != nil {
			return r, err
		}
		arcs = append(arcs, p.arc)
	}
	maps.DeleteFunc(n.repair.lacking, func(end chord.ID, _ time.Time) bool {
		return !slices.ContainsFunc(arcs, func(a arc) bool { return a.UpTo == end })
	})
	if err := n.sortStrays(ctx, arcs, work, &r); err != nil {
		return r, err
	}
	if err := work.Wait(); err != nil {
		n.log.Info("some files could not be repaired yet", "err", err)
		r.failed = true
	}
	n.repair.missing.Store(int64(r.wrong))
	if n.inPlace(mine) { // while the ring settles, what it counts on this node for is not certain
		if err := n.authority.retain(arcs); err != nil {
			return r, err
		}
	}
	if r.compared && (!n.repair.fresh || r.failed || !n.authority.hasPending()) {
		n.repair.done.Store(true)
	}
	return r, nil
}

// repairArc compares one arc with the rest of its group, learns the names that
// it did not know, and, where it falls to this node, puts right what differs.
func (n *Node) repairArc(ctx context.Context, p place, work *errgroup.Group, r *roundResult) error {
	own, err := n.entriesOf(p.arc)
	if err != nil {
		return err
	}
	answers, err := n.compareAll(ctx, p, digest(own))
	if err != nil {
		return err
	}
	m := n.merge(own, answers)
	switch {
	case n.authority.knows(p.arc), n.enough(p.arc, answers):
		n.authority.learn(p.arc, m.unknown)
	default:
		waited := n.repair.lackingFor(p.arc)
		r.lacking = r.lacking || waited >= claimsSettle
		r.compared = r.compared && (waited >= takeOverAfter || !n.repair.fresh && waited >= claimsSettle)
		return nil
	}
	calm := !time.Now().Before(n.repair.calm)
	for _, it := range m.items {
		at := n.compareItem(p, it)
		if at == asItShould {
			continue
		}
		r.wrong++
		switch {
		case p.rank(n.self()) > n.repair.round: // those before this node are at it
		case at == elsewhereYet && !calm:
			r.waiting++
		default:
			work.Go(func() error { return n.setRight(ctx, p, it) })
		}
	}
	return nil
}
