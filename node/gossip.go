package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Gossip: two nodes that compare their member sets send each other what differs,
// in pages; see trust.Members.Summary.

func (n *Node) onMembersSum(req membersSumRequest) (membersSumReply, error) {
	if err := n.heardClock(req.Clock); err != nil {
		return membersSumReply{}, err
	}
	s := n.members.set.Summary()
	reply := membersSumReply{Digest: s.Digest, Clock: n.clock.now()}
	if s.Digest != req.Digest {
		reply.Buckets = s.Buckets
	}
	return reply, nil
}

func (n *Node) onMembersDiff(req membersDiffRequest) (r membersDiffReply, err error) {
	r.Set, r.Want, r.More, err = n.members.set.Compare(req.Buckets, req.Have)
	return r, err
}

func (n *Node) onMembersTell(req membersTellRequest) error {
	return n.mergeMembers(req.Set)
}

// mergeMembers takes entries that another node sent.
func (n *Node) mergeMembers(set []byte) error {
	changed, err := n.members.set.Merge(set)
	if changed {
		n.membersChanged()
	}
	return err
}

// gossip compares member sets with one machine, both ways.
func (n *Node) gossip(ctx context.Context, with MachineID) error {
	var reply membersSumReply
	err := n.call(ctx, with, callMembersSum, membersSumRequest{Digest: n.members.set.Digest(), Clock: n.clock.now()}, &reply)
	n.noteRefusal(err)
	if err == nil {
		err = n.heardClock(reply.Clock)
	}
	if err != nil || len(reply.Buckets) == 0 {
		return err
	}
	differing, err := n.members.set.Differing(trust.Summary{Digest: reply.Digest, Buckets: reply.Buckets})
	if err != nil {
		return err
	}
	for buckets := range slices.Chunk(differing, trust.BucketsAtOnce) {
		if err := n.settleBuckets(ctx, with, buckets); err != nil {
			return err
		}
	}
	return nil
}

// settleBuckets gets what this node lacks of some buckets, and gives what the other lacks.
func (n *Node) settleBuckets(ctx context.Context, with MachineID, buckets []byte) error {
	for more := true; more; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		before := n.members.set.Digest()
		var reply membersDiffReply
		req := membersDiffRequest{Buckets: buckets, Have: n.members.set.Have(buckets)}
		if err := n.call(ctx, with, callMembersDiff, req, &reply); err != nil {
			return err
		}
		if err := n.mergeMembers(reply.Set); err != nil {
			return err
		}
		for want := reply.Want; len(want) > 0; {
			var set []byte
			set, want = n.members.set.Page(want)
			if err := n.call(ctx, with, callMembersTell, membersTellRequest{Set: set}, nil); err != nil {
				return err
			}
		}
		more = reply.More && n.members.set.Digest() != before
	}
	return nil
}

// tellNow passes a change on to many members at once, and waits for them.
func (n *Node) tellNow(ctx context.Context) {
	others := n.members.addressed()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	others = others[:min(len(others), tellAtOnce)]
	answers := ask(n, others, func(m MachineID) (struct{}, error) { return struct{}{}, n.gossip(ctx, m) })
	for range others {
		<-answers
	}
}

// noteRefusal remembers whether others refuse this node as no member.
func (n *Node) noteRefusal(err error) {
	var remote *transfer.RemoteError
	switch {
	case err == nil:
		n.state.refused.Store(nil)
	case errors.As(err, &remote) && (errors.Is(err, trust.ErrRevoked) || errors.Is(err, trust.ErrDeparted) || errors.Is(err, trust.ErrClock)):
		said := remote.Error()
		if old := n.state.refused.Swap(&said); old == nil || *old != said {
			n.log.Error("other members refuse this node", "err", err)
		}
	}
}

// gossipPartners are the members that can be told, in random order: one whose address
// is not known yet is the one that has to tell us. One that does not answer is made up
// for by the next. Unless it may be anyone, those come first that a handshake is saved with:
// neighbours and fingers, which the news of a ring spreads along as well.
func (n *Node) gossipPartners(anyone bool) []MachineID {
	others := n.members.addressed()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	if anyone {
		return others
	}
	var near, far []MachineID
	for _, m := range others {
		if n.net.Connected(m) {
			near = append(near, m)
		} else {
			far = append(far, m)
		}
	}
	return append(near, far...)
}

// runGossip compares member sets on a schedule, and with several others at once
// after a change.
func (n *Node) runGossip(ctx context.Context) error {
	for round := 0; ; {
		fanout, anyone := gossipFanout, true
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake.gossip:
		case <-time.After(jitter(gossipEvery)):
			fanout, anyone = 1, round%gossipAfar == 0
			round++
		}
		others := n.gossipPartners(anyone)
		for _, m := range others[:min(2*fanout, len(others))] {
			if err := n.gossip(ctx, m); err != nil {
				n.log.Debug("could not compare members", "peer", n.members.label(m), "err", err)
				continue
			}
			if fanout--; fanout == 0 {
				break
			}
		}
	}
}
