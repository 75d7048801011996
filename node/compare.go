package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Comparing: the members of a group tell each other what registers they have in
// an arc of the ring. One digest settles the usual case, that nothing differs.

// rangePage is how many entries one reply carries.
const rangePage = 1000

// entriesOf are this node's registers in an arc, in (key, name) order, with the
// names it has only heard of.
func (n *Node) entriesOf(a arc) ([]rangeEntry, error) {
	var l []rangeEntry
	for reg, err := range n.store.Registers(a.After, a.UpTo, filestore.Cursor{}) {
		if err != nil {
			return nil, err
		}
		if reg.Record == nil {
			continue
		}
		l = append(l, entryOf(reg.Register))
	}
	return append(l, n.heardOf(a)...), nil
}

func entryOf(r filestore.Register) rangeEntry {
	return rangeEntry{
		Name: r.Record.Name,
		View: register.View{Voters: r.Record.Voters, Basis: r.Accepted},
		Held: r.Held,
		Live: !r.Record.Deleted,

		Copies: r.Record.Copies,
	}
}

// heardOf are the names of an arc that this node has no record of yet.
func (n *Node) heardOf(a arc) []rangeEntry {
	l := n.authority.waiting(a)
	for i := range l {
		l[i].Held, l[i].Only = false, true
	}
	return l
}

// digest is equal for two lists that agree on every name, its accepted ballot
// and whether its content is held, in whatever order.
func digest(entries []rangeEntry) filestore.Hash {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b rangeEntry) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	var b []byte
	for _, e := range entries {
		b = binary.AppendUvarint(b[:0], uint64(len(e.Name)))
		b = append(b, e.Name...)
		b = binary.BigEndian.AppendUint64(b, e.View.Basis.Counter)
		b = append(b, e.View.Basis.Machine[:]...)
		h.Write(append(b, bit(e.Held)|bit(e.Only)<<1))
	}
	return filestore.Hash(h.Sum(nil))
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// onRange answers a peer that compares an arc.
func (n *Node) onRange(req rangeRequest) (rangeReply, error) {
	a := arc{req.After, req.UpTo}
	reply := rangeReply{Claim: n.authority.claimed(a)} // before the list: what is learned meanwhile may not be on it
	if req.From == (cursor{}) {
		entries, err := n.entriesOf(a)
		if err != nil {
			return reply, err
		}
		if digest(entries) == req.Digest {
			reply.Same = true
			return reply, nil
		}
	}
	for reg, err := range n.store.Registers(a.After, a.UpTo, filestore.Cursor{Key: req.From.Key, Name: req.From.Name}) {
		if err != nil {
			return reply, err
		}
		if reg.Record == nil {
			continue
		}
		if len(reply.Entries) == rangePage {
			last := reply.Entries[rangePage-1].Name
			reply.Next, reply.More = cursor{Key: chord.KeyOf(last), Name: last}, true
			return reply, nil
		}
		reply.Entries = append(reply.Entries, entryOf(reg.Register))
	}
	reply.Entries = append(reply.Entries, n.heardOf(a)...)
	return reply, nil
}

// compared is what one machine said about an arc.
type compared struct {
	from    MachineID
	same    bool
	claim   bool
	entries []rangeEntry
}

// compareWith asks one machine for its registers in an arc.
func (n *Node) compareWith(ctx context.Context, m MachineID, a arc, mine filestore.Hash) (compared, error) {
	c := compared{from: m}
	req := rangeRequest{After: a.After, UpTo: a.UpTo, Digest: mine}
	for first := true; ; first = false {
		var reply rangeReply
		if err := n.call(ctx, m, callRange, req, &reply); err != nil {
			return c, err
		}
		c.claim, c.same = reply.Claim && (first || c.claim), reply.Same
		c.entries = append(c.entries, reply.Entries...)
		if !reply.More {
			return c, nil
		}
		if len(reply.Entries) == 0 || reply.Next == req.From {
			return c, errBadReply
		}
		req.From = reply.Next
	}
}

// compareAll compares an arc with everybody of its group who answers, and where
// this node does not know the arc yet, with those after the group too. When
// none of those has had it, since many machines joined at once, some other
// member has: all are asked.
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
	if n.repair.lackingFor(p.arc) >= claimsSettle {
		others = n.members.others()
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
// all members, nobody had it. When the majority stays away for takeOverAfter,
// those who answer must do, but one of them must have had the arc: somebody who
// never had it must not say what is not there.
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
	if claims == 0 || time.Since(since) < takeOverAfter {
		return false
	}
	n.log.Warn("took over a range without a majority of the nodes that had it",
		"after", a.After.Short(), "upto", a.UpTo.Short(), "had", had, "answered", claims)
	delete(n.repair.lacking, a.UpTo)
	return true
}

// responsibility are the places whose groups this node is in.
func (n *Node) responsibility(ctx context.Context) ([]place, error) {
	var mine []place
	seen := map[chord.ID]bool{}
	for _, at := range n.membership.Positions() {
		for key := at; !seen[key]; {
			seen[key] = true
			p, err := n.place(ctx, key)
			if err != nil {
				return nil, err
			}
			if p.rank(n.self()) < 0 {
				break
			}
			mine = append(mine, p)
			key = p.After
		}
	}
	return mine, nil
}

// inPlace reports whether the ring counts on this node in as many arcs as it
// should. Shortly after a join the owners before it do not know it yet.
func (n *Node) inPlace(mine []place) bool {
	for _, p := range mine {
		return len(mine) >= min(p.Want, len(p.Live))
	}
	return false
}
