package node

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

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
	defaultTakeOver    = time.Minute      // names and authority are taken over without a majority of those who had them
	repairAtOnce       = 16               // names worked on together
	waitingLook        = 3                // JoinSettles after which a node that waits looks whether others were quicker
	maxGroups          = 4096
	restAfter          = 10 // times as long as a round took to compare the next one is put off
	rankRounds         = 5  // JoinSettles between one node's turn in a group and the next
)

// repairer remembers from round to round what a node is about to do. All but
// the atomics and the crew belongs to the goroutine of runRepair.
type repairer struct {
	groups     map[chord.ID]seenGroup  // of the arcs, by their ends, as the last round saw them
	surveys    map[chord.ID]*survey    // of the arcs, by their ends
	joined     time.Time               // when the members last changed
	fresh      bool                    // this node has just joined and waits for what is handed to it
	lacking    map[chord.ID]lackingArc // arcs, by their ends, that lack a majority to compare with
	strays     strays
	crew       *crew
	unanswered unanswered // names whose majority does not answer
	stoodIn    stoodIn
	missing    atomic.Int64 // copies that files held here lack, as of the last round
	done       atomic.Bool  // this node has compared its part of the ring since it came to its place
}

// seenGroup is an arc's group and since when both have been as they are.
type seenGroup struct {
	after    chord.ID
	machines []MachineID
	since    time.Time
}

// lackingArc is since when an arc has lacked a majority.
type lackingArc struct {
	since time.Time
	// takeOver is from when on Timing.TakeOver counts: since, but for an arc that was
	// vacant when the first came back who had it. Zero while it is vacant.
	takeOver time.Time
}

func newRepairer() repairer {
	return repairer{
		groups: map[chord.ID]seenGroup{}, surveys: map[chord.ID]*survey{}, lacking: map[chord.ID]lackingArc{},
		strays: newStrays(), crew: newCrew(), unanswered: unanswered{names: map[string]unansweredName{}},
	}
}

// lackingFor is how long an arc has lacked a majority to compare with.
func (r *repairer) lackingFor(a arc) time.Duration {
	l, ok := r.lacking[a.UpTo]
	if !ok {
		return 0
	}
	return time.Since(l.since)
}

// roundResult is what a repair round came to.
type roundResult struct {
	lacking  bool         // some arc has waited for a majority to compare with for claimsSettle
	compared bool         // the ring counts on this node where it should, and every arc is known or long waited for
	missing  int          // copies that files lack
	wrong    int          // names that are not as they should be
	waiting  int          // of them, those that wait for the ring to settle or for this node's turn
	due      time.Time    // when the first of these is due
	failed   bool         // something could not be put right
	extra    atomic.Int64 // copies beyond the voters that are missing all the same
	// interrupted: the ring or its members changed before all was done.
	interrupted bool
	took        time.Duration // to compare and to look
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
	defer n.repair.crew.wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.ring.Changed():
			failures = 0
			timer.Reset(n.lookAgain())
			continue
		case <-n.wake.joined:
			failures = 0
			n.repair.joined = time.Now()
			timer.Reset(n.lookAgain())
			continue
		case <-timer.C:
		}
		if n.store.Degraded() != nil { // the others see to what is here
			timer.Reset(jitter(n.cfg.Timing.RepairEvery))
			continue
		}
		r, err := n.repairRound(ctx)
		if err != nil {
			n.log.Warn("repair round failed", "err", err)
			r.failed = true
		}
		switch {
		case r.interrupted:
			failures = 0
			timer.Reset(n.lookAgain())
			continue
		case r.failed:
			failures++
		default:
			failures = 0
		}
		// However much differs, comparing it takes a small part of the time.
		wait := jitter(max(n.nextRound(r, failures), min(restAfter*r.took, n.cfg.Timing.RepairEvery)))
		if due, some := n.repair.unanswered.next(n.cfg.Timing.TakeOver); some {
			wait = min(wait, due)
		}
		timer.Reset(wait)
	}
}

// lookAgain is how soon a round follows a change of the ring or of the members.
func (n *Node) lookAgain() time.Duration {
	if n.repair.done.Load() {
		return jitter(n.cfg.Timing.JoinSettle)
	}
	return startSettle
}

// nextRound is how long to wait after a round. Rounds that fail wait longer each time.
func (n *Node) nextRound(r *roundResult, failures int) time.Duration {
	t := n.cfg.Timing
	switch {
	case !n.repair.done.Load() && failures == 0 && !r.lacking:
		return startSettle
	case r.wrong == 0 && r.compared && failures == 0:
		return t.RepairEvery
	case r.waiting > 0 && r.waiting == r.wrong:
		return max(t.JoinSettle, min(time.Until(r.due), waitingLook*t.JoinSettle))
	}
	return min(t.JoinSettle<<min(failures, 10), t.RepairEvery)
}

// repairRound does one round.
func (n *Node) repairRound(ctx context.Context) (*roundResult, error) {
	r := &roundResult{}
	if n.clock.mayBeAway() && n.members.count() > 1 {
		r.failed = true // nothing is done before some member has told how long
		return r, nil
	}
	doubted, err := n.resolve()
	if err != nil {
		return r, err
	}
	if n.doubts.fresh() {
		n.carryOut(ctx, doubted, r)
		return r, nil
	}
	n.living.look()
	mine, err := n.responsibility(ctx)
	if err != nil {
		return r, err
	}
	if !n.repair.done.Load() && !n.inPlace(mine) {
		return r, nil // its arcs are not what they will be in a moment
	}
	if n.inPlace(mine) {
		n.looked(mine)
	}
	begun := time.Now()
	parts := n.cut(mine)
	answers, err := n.compareAll(ctx, parts)
	if err != nil {
		return r, err
	}
	r.compared = n.inPlace(mine)
	var arcs arcs
	var jobs []job
	for i, p := range parts {
		due, err := n.repairArc(p, answers[i], r)
		if err != nil {
			return r, err
		}
		jobs = append(jobs, due...)
		arcs = append(arcs, p.arc)
	}
	n.repair.forgetAllBut(arcs)
	due, err := n.sortStrays(ctx, arcs, r)
	if err != nil {
		return r, err
	}
	r.took = time.Since(begun)
	n.carryOut(ctx, slices.Concat(doubted, jobs, due), r)
	if n.doubts.any() {
		r.failed = true
	}
	if r.failed {
		n.log.Info("some files could not be repaired yet", "names", r.wrong)
	}
	n.repair.missing.Store(int64(r.missing) + r.extra.Load())
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

// forgetAllBut drops what is remembered of arcs that are none of this node's.
func (r *repairer) forgetAllBut(mine arcs) {
	if len(r.groups) > maxGroups { // arcs of strays, and such as are no more
		clear(r.groups)
	}
	gone := func(end chord.ID) bool {
		return !slices.ContainsFunc(mine, func(a arc) bool { return a.UpTo == end })
	}
	maps.DeleteFunc(r.lacking, func(end chord.ID, _ lackingArc) bool { return gone(end) })
	maps.DeleteFunc(r.surveys, func(end chord.ID, _ *survey) bool { return gone(end) })
}

// settles notes the group of a place and returns since when, or from when on,
// its registers may be moved. A node may have restarted: nothing is moved before
// it had time to come back. After members came or went for good, less will do.
func (n *Node) settles(p place) time.Time {
	group := machinesOf(p.group())
	g, known := n.repair.groups[p.UpTo]
	if !known || g.after != p.After || !slices.Equal(g.machines, group) {
		g = seenGroup{after: p.After, machines: group, since: time.Now()}
		n.repair.groups[p.UpTo] = g
	}
	if g.since.Sub(n.repair.joined) < joinedLately {
		return g.since.Add(n.cfg.Timing.JoinSettle)
	}
	return g.since.Add(n.cfg.Timing.RepairAfter)
}

// turn is how long after that a node of some rank in the group acts: the owner
// at once, the others when those before them had time to.
func (n *Node) turn(rank int) time.Duration {
	return time.Duration(rank*rankRounds) * n.cfg.Timing.JoinSettle
}

// repairArc goes by what others said of an arc: it learns the names that it did
// not know, and returns what falls to this node to put right. Only the pieces of
// the arc are looked at that have changed or where somebody differs.
func (n *Node) repairArc(p place, answers []compared, r *roundResult) (jobs []job, err error) {
	s := n.surveyOf(p)
	defer func() {
		if err != nil { // the pieces have not been judged
			delete(n.repair.surveys, p.UpTo)
		}
	}()
	pieces := n.look(s, answers)
	var own []rangeEntry
	for _, i := range pieces {
		entries, err := n.entriesOf(s.pieces.arcs[i])
		if err != nil {
			return nil, err
		}
		own = append(own, entries...)
	}
	m := n.merge(p, own, answers)
	switch {
	case n.authority.knows(p.arc), n.enough(p.arc, answers):
		if err := n.learn(p.arc, m.unknown); err != nil {
			return nil, err
		}
	default:
		waited := n.repair.lackingFor(p.arc)
		r.lacking = r.lacking || waited >= claimsSettle
		r.compared = r.compared && (waited >= n.cfg.Timing.TakeOver || !n.repair.fresh && waited >= claimsSettle)
		defer delete(n.repair.surveys, p.UpTo)
		if waited < claimsSettle {
			return nil, nil
		}
		// Nobody may say what is not there; what is there is looked after all the same.
	}
	turn := n.turn(p.rank(n.self()))
	mayMove := n.settles(p).Add(turn)
	mayRefresh := n.repair.groups[p.UpTo].since.Add(turn)
	for _, it := range m.items {
		key := chord.KeyOf(it.newest.Name)
		target := n.target(p, key, it.newest.View.Voters.New)
		r.missing += it.missingCopies(target)
		f := &s.found[s.pieces.find(key)]
		from := mayMove
		switch n.judge(p, target, it) {
		case asItShould:
			if !it.newest.Live {
				continue
			}
			for _, m := range target {
				f.live[m]++
			}
			if int(it.newest.Copies) > len(target) && p.rank(n.self()) == 0 {
				f.good = false // what is beyond the group is not compared
				jobs = append(jobs, job{it.newest.Name, repairLast, func(ctx context.Context) error {
					return n.lookAtExtra(ctx, it.newest.Name, r)
				}})
			}
			continue
		case incomplete:
			from = mayRefresh
		}
		f.good = false
		r.wrong++
		if r.wait(from) {
			continue
		}
		jobs = append(jobs, job{it.newest.Name, it.copies(), func(ctx context.Context) error { return n.setRight(ctx, p, it) }})
	}
	r.missing += s.missing(pieces, answers, n.self())
	return jobs, nil
}

// missing counts the copies of names in pieces that were good already, and not
// looked at now, which those should have who did not answer.
func (s *survey) missing(looked []int, answers []compared, self MachineID) int {
	here := map[MachineID]bool{self: true}
	for _, c := range answers {
		here[c.from] = true
	}
	count := 0
	for i, f := range s.found {
		if slices.Contains(looked, i) {
			continue
		}
		for m, names := range f.live {
			if !here[m] {
				count += names
			}
		}
	}
	return count
}

// learn makes an arc known but for some names. One of which a record has come
// meanwhile is none of them.
func (n *Node) learn(a arc, unknown []rangeEntry) error {
	n.authority.learn(a, unknown)
	for _, e := range unknown {
		reg, err := n.store.Register(e.Name)
		if err != nil {
			return err
		}
		if reg.Record != nil {
			n.authority.arrived(e.Name)
		}
	}
	return nil
}

// wait notes that something is to be done from then on; false: it is time.
func (r *roundResult) wait(from time.Time) bool {
	if !time.Now().Before(from) {
		return false
	}
	if r.waiting == 0 || from.Before(r.due) {
		r.due = from
	}
	r.waiting++
	return true
}
