package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Reading through others. Two neighbours on the ring that cannot talk to each other,
// while both talk to the rest, leave each other out of the groups that they tell of.
// Where both should be in a group of three, as in that of the one before them, it has
// the first of the two and, in the place of the second, the next on the ring. That one
// does not know the arc: it sees the second alive, and so may not be told of all that
// is stored there (see living). Two of the group know what is not stored, and the
// second hears one of them.
//
// So a client's read that this node cannot complete goes to two of those next to the
// name that answer it. Each reads by what it hears itself, and asks nobody on its
// part. Its answer counts when a majority has confirmed it, unless this node has
// heard of a newer version. As the others read while the client waits, what they
// confirm is as good as if this node had.

const (
	throughAfter = 500 * time.Millisecond // of a read, until others are asked if it waits for a silent machine
	throughMost  = 2                      // machines that are asked
)

// readFor is readBy on behalf of a client: through others where this node does not
// hear enough of the name's voters.
func (n *Node) readFor(ctx context.Context, name string, need int) (found, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	own, enough := context.WithCancel(ctx)
	defer enough()
	theirs := make(chan found, 1)
	askOthers := sync.OnceFunc(func() {
		if !n.tasks.run(func() {
			f := n.readThrough(ctx, name, need)
			if f.confirmed {
				enough()
			}
			theirs <- f
		}) {
			theirs <- found{}
		}
	})
	early := time.AfterFunc(throughAfter, func() {
		for !n.waitsForSilent(ctx, name) {
			if sleep(ctx, throughAfter) != nil {
				return
			}
		}
		askOthers()
	})
	defer early.Stop()
	f, err := n.readBy(own, name, need)
	if err == nil && f.confirmed || err != nil && !errors.Is(err, ErrUnavailable) {
		return f, err
	}
	askOthers()
	if theirs := <-theirs; f.givesWay(theirs) {
		return theirs, nil
	}
	return f, err
}

// givesWay reports whether what others have found is taken for what this node has
// found and could not confirm. What no voter has may be long outdated.
func (f found) givesWay(theirs found) bool {
	return theirs.confirmed && (f.kept || theirs.view.Basis.Compare(f.view.Basis) >= 0)
}

// waitsForSilent reports whether some machine of a name's group did not answer a
// moment ago.
func (n *Node) waitsForSilent(ctx context.Context, name string) bool {
	p, err := n.placeNear(ctx, chord.KeyOf(name))
	return err == nil && len(n.answering(machinesOf(p.group()))) < len(p.group())
}

// readThrough has a name read by those next to it that answer, and returns what the
// first says to whom it is confirmed; unconfirmed: none.
func (n *Node) readThrough(ctx context.Context, name string, need int) found {
	p, err := n.placeNear(ctx, chord.KeyOf(name))
	if err != nil {
		return found{}
	}
	var to []MachineID
	for _, m := range machinesOf(p.Live) {
		if m != n.self() && !n.silence.of(m) && len(to) < throughMost {
			to = append(to, m)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answers := ask(n, to, func(m MachineID) (found, error) { return n.sendFind(ctx, m, name, need) })
	for range to {
		a := <-answers
		if a.err == nil {
			return a.is
		}
		n.log.Debug("could not read through another", "name", name, "peer", n.members.label(a.from), "err", a.err)
	}
	return found{}
}

// sendFind has a machine read a name. That it takes long says nothing of that
// machine: it may be waiting for others.
func (n *Node) sendFind(ctx context.Context, m MachineID, name string, need int) (found, error) {
	var reply findReply
	if err := n.net.Call(ctx, n.members.peer(m), callFind, findRequest{Name: name, Need: need}, &reply); err != nil {
		return found{}, err
	}
	if err := n.checkAnswer(ctx, m, name, register.Answer{Accepted: reply.At, Record: reply.Record}); err != nil {
		return found{}, err
	}
	f := found{record: reply.Record, confirmed: true, holders: reply.Holders}
	if f.record != nil {
		f.view = register.ViewOf(f.record, reply.At)
	}
	return f, nil
}

// onFind reads a name for a peer: ErrUnavailable unless a majority confirms what is
// found, or that there is nothing.
func (n *Node) onFind(ctx context.Context, req findRequest) (findReply, error) {
	if err := filestore.ValidateName(req.Name); err != nil {
		return findReply{}, err
	}
	if req.Need < 0 || req.Need > n.genesis().N {
		return findReply{}, errBadRequest
	}
	f, err := n.readBy(ctx, req.Name, req.Need)
	if err != nil {
		return findReply{}, err
	}
	if !f.confirmed {
		return findReply{}, ErrUnavailable
	}
	return findReply{Record: f.record, At: f.view.Basis, Holders: f.holders}, nil
}
