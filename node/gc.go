package node

import (
	"context"
	"errors"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Collecting what nobody needs any more: tombstones that every voter has and has
// had for long, and the memory of names that a machine voted on once.
//
// A tombstone goes in two steps. A voter asks all the others whether they have
// that very tombstone, or nothing and would know; only when all do are all told
// to forget it. Whoever is not told finds the others with nothing the next time,
// and forgets it then: an old tombstone is never brought back to those who have
// none (see judge). A machine that votes no more keeps one no longer than voters do:
// it would be taken for newer than what is created under the name in one round.

// Timings of collecting; see Timing.
const (
	defaultRetention = 90 * 24 * time.Hour
	defaultAway      = 60 * 24 * time.Hour
	defaultCollect   = time.Hour
	forgetOnce       = 500 // names in one request
)

// isOld reports whether a tombstone has been there for as long as tombstones are
// kept. Those from before there was a ring's clock go by the coordinator's.
func (n *Node) isOld(rec *filestore.Record) bool {
	if !rec.Deleted {
		return false
	}
	age := n.clock.now() - time.Duration(rec.DeletedRing)*time.Second
	if rec.DeletedRing == 0 {
		age = time.Since(time.Unix(0, rec.DeletedAt))
	}
	return age >= n.cfg.Timing.Retention
}

// runCollect collects on a schedule, and keeps the ring's clock.
func (n *Node) runCollect(ctx context.Context) error {
	for sleep(ctx, jitter(n.cfg.Timing.Collect)) == nil {
		if err := errors.Join(n.collect(ctx), n.trimQuarantine()); err != nil {
			n.log.Warn("could not collect what is not needed any more", "err", err)
		}
	}
	if err := n.clock.save(); err != nil {
		n.log.Warn("could not store the ring's clock", "err", err)
	}
	return nil
}

// What quarantine keeps, for a person to look at.
const (
	quarantineAge   = 30 * 24 * time.Hour
	quarantineShare = 20 // one part in so many of what the node may hold
)

// trimQuarantine removes what is beyond that, the oldest first. A node that is
// degraded removes nothing.
func (n *Node) trimQuarantine() error {
	if n.store.Degraded() != nil {
		return nil
	}
	_, used, free := n.store.Usage()
	_, err := n.store.TrimQuarantine(quarantineAge, n.capacity(used, max(0, free))/quarantineShare)
	return err
}

// collect does it once.
func (n *Node) collect(ctx context.Context) error {
	if err := n.clock.save(); err != nil || n.doubts.any() || n.clock.mayBeAway() {
		return err
	}
	var old []forgetName
	voters := map[string][]MachineID{}
	for reg, err := range n.store.Registers(chord.ID{}, chord.ID{}, filestore.Cursor{}) {
		switch rec := reg.Record; {
		case err != nil:
			return err
		case rec == nil:
		case rec.Voters.Contains(n.self()):
			if n.isOld(rec) && reg.Promised == reg.Accepted {
				old = append(old, forgetName{rec.Name, reg.Accepted})
				voters[rec.Name] = rec.Voters.All()
			}
		case !reg.Held && (n.isOld(rec) || !reg.Since.IsZero() && n.now().Sub(reg.Since) >= n.cfg.Timing.Retention):
			if err := n.forgetEx(ctx, rec.Name, reg.Accepted); err != nil {
				return err
			}
		}
	}
	for len(old) > 0 {
		now := old[:min(len(old), forgetOnce)]
		old = old[len(now):]
		n.forgetOld(ctx, now, voters)
	}
	return ctx.Err()
}

// forgetEx forgets a name that this node voted on once, if the register, as a
// majority has it, still does not name it.
func (n *Node) forgetEx(ctx context.Context, name string, at filestore.Ballot) error {
	f, err := n.read(ctx, name)
	if err != nil || !f.confirmed || f.record != nil && f.record.Voters.Contains(n.self()) {
		return nil // later
	}
	_, err = n.store.Forget(name, at)
	return err
}

// forgetOld has those of some names forgotten that all their voters can forget.
// Machines that have left for good are not asked.
func (n *Node) forgetOld(ctx context.Context, names []forgetName, voters map[string][]MachineID) {
	of := map[MachineID][]forgetName{}
	for _, x := range names {
		for _, m := range voters[x.Name] {
			if n.members.has(m) {
				of[m] = append(of[m], x)
			}
		}
	}
	refused := map[string]bool{}
	n.tellForget(ctx, of, false, func(name string) { refused[name] = true })
	for m, l := range of {
		var agreed []forgetName
		for _, x := range l {
			if !refused[x.Name] {
				agreed = append(agreed, x)
			}
		}
		of[m] = agreed
	}
	n.tellForget(ctx, of, true, func(string) {})
}

// tellForget asks machines whether they can forget names, or tells them to, and
// reports those that one of them does not.
func (n *Node) tellForget(ctx context.Context, of map[MachineID][]forgetName, sure bool, not func(name string)) {
	var to []MachineID
	for m, l := range of {
		if len(l) > 0 {
			to = append(to, m)
		}
	}
	answers := ask(n, to, func(m MachineID) (reply forgetReply, err error) {
		req := forgetRequest{Names: of[m], Sure: sure}
		if m == n.self() {
			return n.onForget(req)
		}
		err = n.call(ctx, m, callForget, req, &reply)
		return reply, err
	})
	for range to {
		a := <-answers
		for i, x := range of[a.from] {
			if a.err != nil || i >= len(a.is.Agreed) || !a.is.Agreed[i] {
				not(x.Name)
			}
		}
	}
}

// onForget answers whether this node can forget tombstones, or forgets them.
// It can where it has that very tombstone and nothing is promised beyond, or
// knows that there is nothing.
func (n *Node) onForget(req forgetRequest) (forgetReply, error) {
	var reply forgetReply
	for _, x := range req.Names {
		reg, err := n.store.Register(x.Name)
		if err != nil {
			return reply, err
		}
		agreed := false
		switch rec := reg.Record; {
		case rec == nil:
			agreed = n.knowledge(x.Name) == register.Authoritative
		case !n.isOld(rec) || reg.Accepted != x.At || reg.Promised != x.At || n.doubts.has(x.Name, x.At):
		case req.Sure:
			if agreed, err = n.store.Forget(x.Name, x.At); err != nil {
				return reply, err
			}
		default:
			agreed = true
		}
		reply.Agreed = append(reply.Agreed, agreed)
	}
	return reply, nil
}
