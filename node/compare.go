package node

import (
	"context"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Comparing: the members of a group tell each other the fingerprints of what they
// have in the arcs of the ring that they share. One message settles the usual
// case, that nothing differs. An arc that differs is split into parts, whose
// fingerprints are compared in turn, until those that differ are small enough
// to be listed: range-based set reconciliation (Meyer, "Range-Based Set
// Reconciliation", 2023).

const (
	rangePage  = 1000 // entries that one reply carries
	listUpTo   = 24   // a range with no more registers is listed and not split
	rangesOnce = 256  // ranges in one request
)

// entriesOf are this node's registers in an arc, in (key, name) order, then the
// names it has only heard of. Registers that it doubts are left out.
func (n *Node) entriesOf(a arc) ([]rangeEntry, error) {
	var l []rangeEntry
	for reg, err := range n.store.Registers(a.After, a.UpTo, filestore.Cursor{}) {
		if err != nil {
			return nil, err
		}
		if reg.Record != nil && !n.doubts.has(reg.Name, reg.Accepted) {
			l = append(l, n.entryOf(reg.Register))
		}
	}
	return append(l, n.authority.heardOf(a)...), nil
}

func (n *Node) entryOf(r filestore.Register) rangeEntry {
	return rangeEntry{
		Name: r.Record.Name,
		View: register.ViewOf(r.Record, r.Accepted),
		Held: r.Held,
		Live: !r.Record.Deleted,
		Old:  n.isOld(r.Record),

		Copies: r.Record.Copies,
	}
}

// fingerprint stands for what entriesOf lists, and counts it, without reading it.
func (n *Node) fingerprint(a arc) (filestore.Fingerprint, int) {
	f, count := n.store.Fingerprint(a.After, a.UpTo)
	heard, more := n.authority.heardSum(a)
	doubted, less := n.doubts.sum(a)
	return f.Plus(heard).Minus(doubted), count + more - less
}

// onCompare answers a peer that compares arcs.
func (n *Node) onCompare(req compareRequest, from MachineID) (compareReply, error) {
	reply := compareReply{Members: n.members.count()}
	if err := n.sawAlive(from); err != nil {
		return reply, err
	}
	if len(req.Ranges) > rangesOnce {
		return reply, errBadRequest
	}
	if n.clock.mayBeAway() || n.doubts.fresh() {
		return reply, ErrNotReady
	}
	listed := 0
	for _, r := range req.Ranges {
		a := arc{r.After, r.UpTo}
		// Before the list, since what is learned meanwhile may not be on it; and whether
		// it is sure after it, too, since of what is doubted then nothing is.
		part := comparedRange{Claim: n.authority.claimed(a), Unsure: n.unsure(a)}
		var sum filestore.Fingerprint
		sum, part.Count = n.fingerprint(a)
		if part.Same = sum == r.Sum; !part.Same && part.Count <= listUpTo && listed+part.Count <= rangePage {
			entries, err := n.entriesOf(a)
			if err != nil {
				return reply, err
			}
			part.Listed, part.Entries = true, entries
			listed += len(entries)
		}
		part.Unsure = part.Unsure || n.unsure(a)
		part.Claim = part.Claim && !part.Unsure
		reply.Ranges = append(reply.Ranges, part)
	}
	return reply, nil
}

// unsure reports whether this node may have had an arc, and does not say that it has all
// of it: its disk has failed, or it doubts what it has there.
func (n *Node) unsure(a arc) bool {
	return n.store.Degraded() != nil || n.clock.mayBeAway() || n.doubts.anyIn(a)
}

// onRange lists an arc for a peer, page by page.
func (n *Node) onRange(req rangeRequest) (rangeReply, error) {
	if n.clock.mayBeAway() || n.doubts.fresh() {
		return rangeReply{}, ErrNotReady
	}
	a := arc{req.After, req.UpTo}
	reply := rangeReply{Claim: n.authority.claimed(a)}
	for reg, err := range n.store.Registers(a.After, a.UpTo, filestore.Cursor{Key: req.From.Key, Name: req.From.Name}) {
		if err != nil {
			return reply, err
		}
		if reg.Record == nil || n.doubts.has(reg.Name, reg.Accepted) {
			continue
		}
		if len(reply.Entries) == rangePage {
			last := reply.Entries[rangePage-1].Name
			reply.Next, reply.More = cursor{Key: chord.KeyOf(last), Name: last}, true
			return reply, nil
		}
		reply.Entries = append(reply.Entries, n.entryOf(reg.Register))
	}
	reply.Entries = append(reply.Entries, n.authority.heardOf(a)...)
	return reply, nil
}

// compared is what one machine said about an arc.
type compared struct {
	from    MachineID
	claim   bool
	unsure  bool // it makes no claim, and does not say that it never had one
	members int  // that it knows
	differ  []difference
}

// difference is a part of an arc where a machine differs from this node, and all
// that it has there. The differences of one machine do not overlap.
type difference struct {
	arc
	entries []rangeEntry
}

// listOf asks one machine for all its registers in an arc.
func (n *Node) listOf(ctx context.Context, m MachineID, a arc) ([]rangeEntry, error) {
	var l []rangeEntry
	req := rangeRequest{After: a.After, UpTo: a.UpTo}
	for {
		var reply rangeReply
		if err := n.call(ctx, m, callRange, req, &reply); err != nil {
			return nil, err
		}
		l = append(l, reply.Entries...)
		if !reply.More {
			return l, nil
		}
		if len(reply.Entries) == 0 || reply.Next == req.From {
			return nil, errBadReply
		}
		req.From = reply.Next
	}
}

// question is a range that a machine is asked about.
type question struct {
	arc
	of    int  // the arc that it is a part of
	whole bool // it is all of that arc
	count int  // this node's registers in it
}

// compareWith compares several arcs with one machine. The answers are in the
// order of the arcs.
func (n *Node) compareWith(ctx context.Context, m MachineID, shared []arc) ([]compared, error) {
	answers := make([]compared, len(shared))
	var open []question
	for i, a := range shared {
		answers[i].from = m
		open = append(open, question{arc: a, of: i, whole: true})
	}
	for len(open) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := open[:min(len(open), rangesOnce)]
		open = open[len(now):]
		var req compareRequest
		for i := range now {
			r := rangeSum{After: now[i].After, UpTo: now[i].UpTo}
			r.Sum, now[i].count = n.fingerprint(now[i].arc)
			req.Ranges = append(req.Ranges, r)
		}
		var reply compareReply
		if err := n.call(ctx, m, callCompare, req, &reply); err != nil {
			return nil, err
		}
		if len(reply.Ranges) != len(now) {
			return nil, errBadReply
		}
		for i, part := range reply.Ranges {
			q := now[i]
			c := &answers[q.of]
			if q.whole {
				c.claim, c.members = part.Claim, reply.Members
			}
			if part.Unsure { // it may have begun to doubt since it was first asked
				c.claim, c.unsure = false, true
			}
			more, err := n.followUp(ctx, c, q, part)
			if err != nil {
				return nil, err
			}
			open = append(open, more...)
		}
	}
	return answers, nil
}

// followUp does what one answer asks for: nothing, or the range is listed, or
// its parts are to be compared.
func (n *Node) followUp(ctx context.Context, c *compared, q question, part comparedRange) ([]question, error) {
	switch {
	case part.Same:
		return nil, nil
	case part.Listed:
		c.differ = append(c.differ, difference{q.arc, part.Entries})
		return nil, nil
	}
	var parts []arc
	if min(part.Count, q.count) > listUpTo {
		parts = q.split()
	}
	if parts == nil { // too little here or there to be worth splitting
		entries, err := n.listOf(ctx, c.from, q.arc)
		c.differ = append(c.differ, difference{q.arc, entries})
		return nil, err
	}
	more := make([]question, len(parts))
	for i, a := range parts {
		more[i] = question{arc: a, of: q.of}
	}
	return more, nil
}

// compareAll compares arcs with everybody of their groups, each machine asked
// once, and returns for each arc what those said who answered. Where this node
// does not know an arc yet, those after the group are asked too. When none of
// those has had it, since many machines joined at once, some other member has:
// all are asked.
func (n *Node) compareAll(ctx context.Context, mine []place) ([][]compared, error) {
	with := map[MachineID][]int{}
	for i, p := range mine {
		var peers []MachineID
		switch {
		case n.repair.lackingFor(p.arc) >= claimsSettle:
			peers = n.members.others()
		case n.authority.knows(p.arc):
			peers = machinesOf(p.group())
		default:
			peers = machinesOf(p.Live)
		}
		for _, m := range peers {
			if m != n.self() {
				with[m] = append(with[m], i)
			}
		}
	}
	var to []MachineID
	for m := range with {
		to = append(to, m)
	}
	answers := ask(n, to, func(m MachineID) ([]compared, error) {
		shared := make([]arc, len(with[m]))
		for k, i := range with[m] {
			shared[k] = mine[i].arc
		}
		return n.compareWith(ctx, m, shared)
	})
	all := make([][]compared, len(mine))
	for range to {
		select {
		case a := <-answers:
			if a.err != nil {
				n.log.Debug("could not compare", "peer", n.members.label(a.from), "err", a.err)
				continue
			}
			for k, i := range with[a.from] {
				all[i] = append(all[i], a.is[k])
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}

// claimants counts those who answered, this node among them, and claim an arc, and
// those of a ring with so many copies who may have had it: not the members that say
// they never had it, and none when those are all that anybody knows of. Who has been
// away may not have heard of a member that came and had it since. One whose disk has
// failed, or that doubts what it has, cannot tell.
func claimants(copies, members int, answers []compared, isMember func(MachineID) bool) (claims, had int) {
	without := 0
	for _, c := range answers {
		members = max(members, c.members)
		switch {
		case c.claim:
			claims++
		case !c.unsure && isMember(c.from):
			without++
		}
	}
	return claims, max(0, min(copies, members-without))
}

// enough reports whether those who answered include a majority of those who had
// the arc, or nobody had it. When the majority stays away for Timing.TakeOver,
// those who answer must do, but one of them must have had the arc: somebody who
// never had it must not say what is not there. Without one the arc is vacant,
// until somebody who had it comes back, and the others had as long to do the same,
// or all who may have had it are forgotten.
func (n *Node) enough(a arc, answers []compared) bool {
	own := compared{from: n.self(), unsure: n.unsure(a)}
	own.claim = !own.unsure && n.authority.claimed(a)
	claims, had := claimants(n.genesis().N, n.members.count(), append(slices.Clip(answers), own), func(m MachineID) bool {
		return m == n.self() || n.members.counts(m)
	})
	if had == 0 || claims >= register.Majority(had) {
		n.authority.setVacant(a, false)
		delete(n.repair.lacking, a.UpTo)
		return true
	}
	l, waiting := n.repair.lacking[a.UpTo]
	now := time.Now()
	if !waiting {
		l = lackingArc{since: now, takeOver: now}
	}
	if claims > 0 && l.takeOver.IsZero() {
		l.takeOver = now
	}
	switch limit := n.cfg.Timing.TakeOver; {
	case claims > 0 && now.Sub(l.takeOver) >= limit:
		n.log.Warn("took over a range without a majority of the nodes that had it",
			"after", a.After.Short(), "upto", a.UpTo.Short(), "had", had, "answered", claims)
		n.authority.setVacant(a, false)
		delete(n.repair.lacking, a.UpTo)
		return true
	case claims == 0 && now.Sub(l.since) >= limit:
		l.takeOver = time.Time{}
		if n.authority.setVacant(a, true) {
			n.log.Warn("nobody who knew a range answers: what is not found there may come back, and names are stored all the same",
				"after", a.After.Short(), "upto", a.UpTo.Short(), "had", had)
		}
	}
	n.repair.lacking[a.UpTo] = l
	return false
}
