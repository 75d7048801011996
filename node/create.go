package node

import (
	"context"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// A small file of a new name, which is what most stores of many are about, takes one
// round and one commit at each voter: content and record go there together, under a
// fast ballot, see package register. That takes all the voters, and that none of them
// has heard of the name. Otherwise, and whatever else goes wrong, the store is
// coordinated as any other, under the same operation ID: what voters have accepted by
// then is found by it, and either completed or replaced.

// createGrace is how long all voters may take, before the store goes on without the
// slowest of them.
const createGrace = 2 * time.Second

// createRequest has a voter accept a small file under a name that it knows to be new.
type createRequest struct {
	Accept register.Accept `cbor:"1,keyasint"`
	Chunk  smallChunk      `cbor:"2,keyasint"`
}

// coordinateSmall coordinates a store of small content. The chunk stays the caller's.
func (n *Node) coordinateSmall(ctx context.Context, h storeHeader, c transfer.Chunk, t contentTrailer) (changeReply, error) {
	if o, created := n.create(ctx, h, c, t); created {
		return n.replyOf(ctx, o), nil
	}
	return n.coordinateStore(ctx, h, func(_ context.Context, f *fanout) (contentTrailer, error) {
		return t, passOn(c, f.write)
	})
}

// create tries to store a small file in one round; false if that did not succeed,
// after which it may have happened or not.
func (n *Node) create(ctx context.Context, h storeHeader, c transfer.Chunk, t contentTrailer) (outcome, bool) {
	if filestore.ValidateName(h.Name) != nil {
		return outcome{}, false
	}
	view, err := n.viewToStore(ctx, h.Name)
	if err != nil || !n.mayCreate(view, &h) {
		return outcome{}, false
	}
	rec := h.record(t)
	if n.checkPublished(ctx, &rec, h.Publisher) != nil {
		return outcome{}, false
	}
	counter, err := n.store.NextCounter(1)
	if err != nil {
		return outcome{}, false
	}
	task := register.Task{Change: h.change(&rec)}
	round := register.NewRound(h.Name, filestore.Ballot{Counter: counter, Machine: n.self(), Fast: true}, view, task)
	msg, to, ok := round.Create()
	if !ok {
		return outcome{}, false
	}
	encoded, err := transfer.Marshal(createRequest{Accept: msg, Chunk: wireChunk(c)})
	if err != nil {
		return outcome{}, false
	}
	c.Retain() // for this node's own vote, which may come when the caller has stopped waiting
	answers := ask(n, to, func(m MachineID) (register.Answer, error) {
		if m == n.self() {
			defer c.Release()
			return n.acceptNew(msg, c, h.Publisher == n.self())
		}
		return n.sendCreate(ctx, m, h.Name, encoded)
	})
	if !slices.Contains(to, n.self()) {
		c.Release()
	}
	timer := time.NewTimer(createGrace)
	defer timer.Stop()
	for {
		select {
		case a := <-answers:
			var step register.Next
			if a.err != nil {
				n.refused(a.from, h.Size, a.err)
				step = round.OnSilence(a.from)
			} else {
				step = round.OnAccepted(a.from, a.is)
			}
			if step != register.Wait {
				return n.outcomeOf(round), step == register.Chosen
			}
		case <-timer.C:
			return outcome{}, false
		case <-ctx.Done():
			return outcome{}, false
		}
	}
}

// mayCreate reports whether it is worth trying: the name is new as far as is known,
// and all of its voters can be expected to take it.
func (n *Node) mayCreate(v register.View, h *storeHeader) bool {
	return v.Basis.IsZero() && h.copies() <= len(v.Voters.New) && !slices.ContainsFunc(v.Voters.New, func(m MachineID) bool {
		return n.silence.of(m) || n.unfit.lately(m, h.Size) != nil
	})
}

// sendCreate asks another voter by an encoded createRequest.
func (n *Node) sendCreate(ctx context.Context, m MachineID, name string, request cbor.RawMessage) (a register.Answer, err error) {
	if err = n.askVoter(ctx, m, callCreate, request, &a); err == nil {
		err = n.checkRecord(ctx, m, name, a.Record)
	}
	return a, err
}

// onCreate is a voter's part, for a coordinator elsewhere.
func (n *Node) onCreate(ctx context.Context, r createRequest, from MachineID) (register.Answer, error) {
	if n.state.leaving.Load() {
		return register.Answer{}, ErrLeaving
	}
	rec := &r.Accept.Record
	c, err := r.Chunk.chunk(rec.SHA256)
	if err != nil {
		return register.Answer{}, err
	}
	if err := n.checkPublished(ctx, rec, from); err != nil {
		return register.Answer{}, err
	}
	return n.acceptNew(r.Accept, c, false)
}

// acceptNew stages small content, which this process may have made itself, and accepts
// its record, in one commit. Nothing is staged where the record would not be accepted.
func (n *Node) acceptNew(m register.Accept, c transfer.Chunk, own bool) (register.Answer, error) {
	name := m.Record.Name
	known := n.knowledge(name)
	rule := func(r filestore.Register) (filestore.Register, register.Answer) {
		return register.OnCreate(r, m, known, true)
	}
	before, err := n.store.Register(name)
	if err != nil {
		return register.Answer{}, err
	}
	if _, a := rule(before); a.Status != register.OK || before.Record != nil {
		return a, nil
	}
	l, err := n.stageHere(name, int64(c.Raw))
	if err != nil {
		return register.Answer{}, err
	}
	if own {
		l.view = n.coding.decode.Unchecked
	}
	if err = passOn(c, l.write); err == nil {
		err = l.stage.Seal(m.Record)
	}
	var a register.Answer
	if err == nil {
		a, err = n.vote(name, rule)
	}
	if err != nil || a.Status != register.OK {
		l.stage.Discard()
		return a, err
	}
	n.accepted(&m.Record)
	return a, nil
}
