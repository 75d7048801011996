package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Timings of repair; see Timing.
const (
	defaultRepairEvery = time.Minute      // a round when nothing happened
	defaultRepairAfter = 15 * time.Second // after the ring changed, so that a restart copies nothing
	defaultJoinSettle  = time.Second      // after a member came or went for good
	defaultDropAfter   = 10 * time.Minute // a copy that nobody counts on is kept so long
	startSettle        = 100 * time.Millisecond
	joinedLately       = 30 * time.Second
	repairAtOnce       = 8           // names worked on together
	unconfirmedAfter   = time.Minute // authority is taken without a majority of those who had it
)

// repairer remembers from round to round what a node is about to do.
type repairer struct {
	round   int                    // since the ring last changed
	lacking map[chord.ID]time.Time // arcs, by their ends, that lack a majority to compare with, and since when
	strays  map[string]time.Time   // copies that nobody counts on, and since when
	missing atomic.Int64           // copies that files held here lack, as of the last round
	done    atomic.Bool            // a whole round has found nothing to do since this node came to its place
}

func newRepairer() repairer {
	return repairer{lacking: map[chord.ID]time.Time{}, strays: map[string]time.Time{}}
}

// runRepair compares what this node holds with its groups, moves registers to
// where they belong, has missing copies made and drops those that are no longer
// needed: some time after the ring changed, and on a schedule.
func (n *Node) runRepair(ctx context.Context) error {
	if err := n.ring.WaitPlaced(ctx); err != nil {
		return nil
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var joined time.Time // when the members last changed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.ring.Changed():
			n.repair.round = 0
			timer.Reset(jitter(n.changeSettles(joined)))
			continue
		case <-n.wake.joined:
			n.repair.round = 0
			joined = time.Now()
			timer.Reset(jitter(n.changeSettles(joined)))
			continue
		case <-timer.C:
		}
		clean, err := n.repairRound(ctx)
		next := n.cfg.Timing.RepairEvery
		switch {
		case err != nil:
			n.log.Warn("repair round failed", "err", err)
			next = n.cfg.Timing.JoinSettle
		case !clean && !n.repair.done.Load():
			next = startSettle
		case !clean:
			next = n.cfg.Timing.JoinSettle
		default:
			n.repair.done.Store(true)
		}
		n.repair.round++
		timer.Reset(jitter(next))
	}
}

// changeSettles is how long to wait for the ring to settle after it changed. A
// node that has just come to its place is in a hurry; a change that belongs to a
// member's coming or going for good is no restart.
func (n *Node) changeSettles(joined time.Time) time.Duration {
	switch {
	case !n.repair.done.Load():
		return startSettle
	case time.Since(joined) < joinedLately:
		return n.cfg.Timing.JoinSettle
	}
	return n.cfg.Timing.RepairAfter
}

// repairRound does one round and reports whether there was nothing to do.
func (n *Node) repairRound(ctx context.Context) (clean bool, err error) {
	mine, err := n.responsibility(ctx)
	if err != nil {
		return false, err
	}
	clean = n.inPlace(mine)
	work := &errgroup.Group{}
	work.SetLimit(repairAtOnce)
	missing := int64(0)
	var arcs arcs
	for _, p := range mine {
		known, lacking, err := n.compareArc(ctx, p, work)
		if err != nil {
			return false, err
		}
		clean = clean && known && lacking == 0
		missing += int64(lacking)
		arcs = append(arcs, p.arc)
	}
	strays, err := n.sortStrays(ctx, arcs, work)
	if err != nil {
		return false, err
	}
	if err := work.Wait(); err != nil {
		n.log.Info("some files could not be repaired yet", "err", err)
		clean = false
	}
	n.repair.missing.Store(missing)
	if n.inPlace(mine) { // while the ring settles, what it counts on us for is not certain
		if err := n.authority.retain(arcs); err != nil {
			return false, err
		}
	}
	return clean && strays == 0, nil
}

// compareArc compares one arc with the rest of its group, learns the names it
// did not know, and, where it falls to this node, puts right what differs.
// known reports whether this node has authority there now.
func (n *Node) compareArc(ctx context.Context, p place, work *errgroup.Group) (known bool, lacking int, err error) {
	own, err := n.entriesOf(p.arc)
	if err != nil {
		return false, 0, err
	}
	answers, err := n.compareAll(ctx, p, digest(own))
	if err != nil {
		return false, 0, err
	}
	merged := n.merge(own, answers)
	if !n.authority.knows(p.arc) {
		if !n.enough(p.arc, answers) {
			return false, 0, nil
		}
		n.authority.learn(p.arc, merged.unknown)
		n.log.Debug("know an arc of the ring", "after", p.After.Short(), "upto", p.UpTo.Short(), "pending", len(merged.unknown))
	} else {
		n.authority.learn(p.arc, merged.unknown)
	}
	if rank := p.rank(n.self()); rank > n.repair.round {
		return true, merged.wrong(n, p), nil // those before us in the group are at it
	}
	for _, item := range merged.items {
		if n.settled(p, item) {
			continue
		}
		lacking++
		work.Go(func() error { return n.setRight(ctx, p, item) })
	}
	return true, lacking, nil
}

// compareAll compares an arc with everybody of its group who answers, and where
// this node does not know the arc yet, with those after the group too.
func (n *Node) compareAll(ctx context.Context, p place, mine filestore.Hash) ([]compared, error) {
	peers := p.group()
	if !n.authority.knows(p.arc) {
		peers = p.Live
	}
	var others []MachineID
	for _, x := range peers {
		if x.Machine != n.self() {
			others = append(others, x.Machine)
		}
	}
	answers := ask(n, others, func(m MachineID) (compared, error) { return n.compareWith(ctx, m, p.arc, mine) })
	var l []compared
	for range others {
		select {
		case a := <-answers:
			if a.err == nil {
				l = append(l, a.is)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return l, nil
}

// enough reports whether those who answered include a majority of those who had
// the arc. Members that say they never had it are none of those; when that is
// all members, nobody had it. When the majority stays away for
// unconfirmedAfter, whoever answers must do.
func (n *Node) enough(a arc, answers []compared) bool {
	claims, without := 0, 0
	for _, c := range answers {
		if c.claim {
			claims++
		} else {
			without++
		}
	}
	if n.authority.claimed(a) {
		claims++
	} else {
		without++
	}
	had := min(n.genesis().N, n.members.count()-without)
	if had <= 0 || claims >= register.Majority(had) {
		delete(n.repair.lacking, a.UpTo)
		return true
	}
	since, waiting := n.repair.lacking[a.UpTo]
	if !waiting {
		n.repair.lacking[a.UpTo] = time.Now()
		return false
	}
	if time.Since(since) < unconfirmedAfter {
		return false
	}
	n.log.Warn("took over a range without a majority of the nodes that had it",
		"after", a.After.Short(), "upto", a.UpTo.Short(), "had", had, "answered", claims)
	delete(n.repair.lacking, a.UpTo)
	return true
}

// item is one name as the members of its group have it.
type item struct {
	newest rangeEntry
	at     map[MachineID]rangeEntry
}

// merged is an arc as the members of its group have it together.
type merged struct {
	items   []item
	unknown []rangeEntry // names that this node has no record of
}

func (n *Node) merge(own []rangeEntry, answers []compared) merged {
	byName := map[string]*item{}
	take := func(m MachineID, e rangeEntry) {
		it := byName[e.Name]
		if it == nil {
			it = &item{newest: e, at: map[MachineID]rangeEntry{}}
			byName[e.Name] = it
		}
		if e.View.Basis.Compare(it.newest.View.Basis) > 0 {
			it.newest = e
		}
		it.at[m] = e
	}
	for _, e := range own {
		take(n.self(), e)
	}
	for _, c := range answers {
		entries := c.entries
		if c.same {
			entries = own
		}
		for _, e := range entries {
			take(c.from, e)
		}
	}
	var r merged
	for _, it := range byName {
		if e, here := it.at[n.self()]; !here || e.Only {
			r.unknown = append(r.unknown, it.newest)
		}
		r.items = append(r.items, *it)
	}
	return r
}

// wrong counts the names that are not as they should be.
func (r merged) wrong(n *Node, p place) int {
	c := 0
	for _, it := range r.items {
		if !n.settled(p, it) {
			c++
		}
	}
	return c
}

// settled reports whether a name's voters are the right ones and all that are
// in the group have its newest record and content.
func (n *Node) settled(p place, it item) bool {
	v := it.newest.View.Voters
	if v.Joint() || !sameMachines(v.New, n.target(p, chord.KeyOf(it.newest.Name), v.New)) {
		return false
	}
	for _, x := range p.group() {
		e, ok := it.at[x.Machine]
		if ok && !e.Only && e.View.Basis == it.newest.View.Basis && e.Held == e.Live {
			continue
		}
		return false
	}
	return true
}

// setRight moves a name's voters to its group, or, where they are there, has
// the present value accepted and its content copied wherever it is missing.
func (n *Node) setRight(ctx context.Context, p place, it item) error {
	name := it.newest.Name
	target := n.target(p, chord.KeyOf(name), it.newest.View.Voters.New)
	view := it.newest.View
	err := n.move(ctx, name, view, target)
	if err != nil {
		n.log.Debug("could not repair a file", "name", name, "err", err)
	}
	return err
}

// move brings a name's register to the voters in target, the content first, or
// completes their copies where they are the voters already.
func (n *Node) move(ctx context.Context, name string, view register.View, target []MachineID) error {
	for {
		task := register.Task{}
		if view.Voters.Joint() || !sameMachines(view.Voters.New, target) {
			task.Target = target
		}
		if err := n.copyAhead(ctx, name, target); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, changeTimeout)
		o, err := n.changeFrom(ctx, name, view, task, forAll)
		cancel()
		if err != nil {
			return err
		}
		if o.moved {
			return nil
		}
		view = o.view
	}
}

// copyAhead sees to it that the machines in target hold the newest content that
// this node can learn of, so that their acceptances do not wait for it.
func (n *Node) copyAhead(ctx context.Context, name string, target []MachineID) error {
	f, err := n.read(ctx, name)
	if err != nil {
		return err
	}
	rec := f.live()
	if rec == nil {
		return nil
	}
	var wg sync.WaitGroup
	for _, m := range target {
		wg.Go(func() {
			if err := n.makeObtain(ctx, m, *rec, f.holders); err != nil {
				n.log.Debug("could not have a copy made", "name", name, "peer", n.members.label(m), "err", err)
			}
		})
	}
	wg.Wait()
	return nil
}
