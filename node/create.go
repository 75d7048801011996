package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

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
	Accept  register.Accept `cbor:"1,keyasint"`
	Chunk   smallChunk      `cbor:"2,keyasint"`
	Settled span            `cbor:"3,keyasint"` // of who asks
}

// creation is a store of small content on its way through its coordinator.
type creation struct {
	header  storeHeader
	chunk   transfer.Chunk // the caller's
	trailer contentTrailer

	round   *register.Round
	counter uint64 // of its ballot
	accept  register.Accept
	to      []MachineID // voters
	created bool        // the round has succeeded

	reply changeReply
	err   error
}

// coordinateSmall coordinates stores of small content until there is a reply or an error
// for each. They do not wait for each other.
func (n *Node) coordinateSmall(ctx context.Context, stores []*creation) {
	var all sync.WaitGroup
	n.create(ctx, stores, func(s *creation) {
		if s.created {
			s.reply = n.replyOf(ctx, n.outcomeOf(s.round))
			return
		}
		all.Go(func() {
			s.reply, s.err = n.coordinateStore(ctx, s.header, func(_ context.Context, f *fanout) (contentTrailer, error) {
				return s.trailer, passOn(s.chunk, f.write)
			})
		})
	})
	all.Wait()
}

// create tries to store small files in one round each, whose messages go together, and
// calls over for each as soon as that has succeeded or not, after which it may have
// happened or not.
func (n *Node) create(ctx context.Context, stores []*creation, over func(*creation)) {
	views := n.viewsToStore(ctx, stores)
	at := map[MachineID][]*creation{}
	var open []*creation // whose rounds are under way
	room := 0
	for i, s := range stores {
		if views[i] == nil || !n.beginCreation(ctx, s, *views[i]) {
			over(s)
			continue
		}
		open = append(open, s)
		for _, m := range s.to {
			at[m] = append(at[m], s)
			room++
		}
	}
	end := func(s *creation) {
		n.settled.end(n.self(), s.counter, s.created)
		over(s)
	}
	defer func() {
		for _, s := range open { // which nobody waits for any longer
			end(s)
		}
	}()
	votes := make(chan vote, room)
	for m, list := range at {
		requests := n.acceptances(list)
		if !n.tasks.run(func() {
			n.sendCreations(ctx, m, requests, func(i int, v voted) { votes <- vote{m, list[i], v} })
		}) {
			release(requests)
			return
		}
	}
	timer := time.NewTimer(createGrace)
	defer timer.Stop()
	for len(open) > 0 {
		select {
		case v := <-votes:
			if i := slices.Index(open, v.on); i >= 0 && n.voted(v) {
				open = slices.Delete(open, i, i+1)
				end(v.on)
			}
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// voted is a voter's answer, or why there is none.
type voted struct {
	answer register.Answer
	err    error
}

// vote is what came from a voter on one creation.
type vote struct {
	from MachineID
	on   *creation
	is   voted
}

// voted takes a vote and reports whether the round is over.
func (n *Node) voted(v vote) bool {
	var step register.Next
	if v.is.err != nil {
		n.refused(v.from, v.on.header.Size, v.is.err)
		step = v.on.round.OnSilence(v.from)
	} else {
		step = v.on.round.OnAccepted(v.from, v.is.answer)
	}
	v.on.created = step == register.Chosen
	return step != register.Wait
}

// viewsToStore is viewToStore for many names, nil where there is none. Others are asked
// about those side by side that this node does not know of itself.
func (n *Node) viewsToStore(ctx context.Context, stores []*creation) []*register.View {
	names := make([]string, len(stores))
	for i, s := range stores {
		names[i] = s.header.Name
	}
	n.lookNear(ctx, names)
	views := make([]*register.View, len(stores))
	look := func(i int) {
		if v, err := n.viewToStore(ctx, names[i]); err == nil {
			views[i] = &v
		}
	}
	var others sync.WaitGroup
	for i, name := range names {
		switch {
		case filestore.ValidateName(name) != nil:
		case n.authority.knowledge(name) == register.Authoritative:
			look(i)
		default:
			others.Go(func() { look(i) })
		}
	}
	others.Wait()
	return views
}

// beginCreation begins a round for a store, if it may create its name. Then settled.end
// is to be called after it.
func (n *Node) beginCreation(ctx context.Context, s *creation, view register.View) bool {
	h := &s.header
	if !n.mayCreate(view, h) {
		return false
	}
	rec := h.record(s.trailer)
	if n.checkPublished(ctx, &rec, h.Publisher) != nil {
		return false
	}
	var err error
	s.counter, err = n.settled.begin(func() (uint64, error) { return n.store.NextCounter(1) })
	if err != nil {
		return false
	}
	task := register.Task{Change: h.change(&rec)}
	s.round = register.NewRound(h.Name, filestore.Ballot{Counter: s.counter, Machine: n.self(), Fast: true}, view, task)
	var ok bool
	if s.accept, s.to, ok = s.round.Create(); !ok {
		n.settled.end(n.self(), s.counter, false)
	}
	return ok
}

// mayCreate reports whether it is worth trying: the name is new as far as is known,
// and all of its voters can be expected to take it.
func (n *Node) mayCreate(v register.View, h *storeHeader) bool {
	return v.Basis.IsZero() && h.copies() <= len(v.Voters.New) && !slices.ContainsFunc(v.Voters.New, func(m MachineID) bool {
		return n.silence.of(m) || n.unfit.lately(m, h.Size) != nil
	})
}

// acceptance asks a voter to accept a small file under a name that it knows to be new.
type acceptance struct {
	createRequest
	chunk transfer.Chunk // retained, where the content is not in the request
	own   bool           // it was made in this process: not checked again here
}

// acceptances are the requests to one voter. They outlive the stores' caller.
func (n *Node) acceptances(stores []*creation) []acceptance {
	l := make([]acceptance, len(stores))
	for i, s := range stores {
		s.chunk.Retain()
		l[i] = acceptance{createRequest{Accept: s.accept, Settled: n.settled.tell()}, s.chunk, s.header.Publisher == n.self()}
	}
	return l
}

func release(list []acceptance) {
	for _, a := range list {
		a.chunk.Release()
	}
}

// sendCreations asks a voter, and hands over its votes as they come.
func (n *Node) sendCreations(ctx context.Context, m MachineID, list []acceptance, take func(i int, v voted)) {
	if m == n.self() {
		results := n.acceptNew(list)
		release(list)
		for i, v := range results {
			take(i, v)
		}
		return
	}
	requests := make([][]byte, len(list))
	for i, a := range list {
		a.Chunk = wireChunk(a.chunk)
		requests[i], _ = transfer.Marshal(a.createRequest) // it cannot fail
	}
	release(list)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	n.callVoterEach(ctx, m, callCreate, requests, func(i int, raw []byte, err error) {
		v := voted{err: err}
		if err == nil {
			v.err = transfer.Unmarshal(raw, &v.answer)
		}
		if v.err == nil {
			v.err = n.checkAnswer(ctx, m, list[i].Accept.Record.Name, v.answer)
		}
		take(i, v)
	})
}

// onCreate is a voter's part, for a coordinator elsewhere.
func (n *Node) onCreate(ctx context.Context, requests []createRequest, from MachineID) []voted {
	results := make([]voted, len(requests))
	list := make([]acceptance, 0, len(requests))
	at := make([]int, 0, len(requests))
	for i, r := range requests {
		chunk, err := n.checkCreation(ctx, &r, from)
		if results[i].err = err; err == nil {
			at = append(at, i)
			list = append(list, acceptance{createRequest: r, chunk: chunk})
		}
	}
	for k, v := range n.acceptNew(list) {
		results[at[k]] = v
	}
	return results
}

// checkCreation checks what came from another machine.
func (n *Node) checkCreation(ctx context.Context, r *createRequest, from MachineID) (transfer.Chunk, error) {
	if n.state.leaving.Load() {
		return transfer.Chunk{}, ErrLeaving
	}
	if err := n.checkBallots(r.Accept.Ballot); err != nil {
		return transfer.Chunk{}, err
	}
	n.settled.learn(from, r.Settled)
	c, err := r.Chunk.chunk(r.Accept.Record.SHA256)
	if err != nil {
		return c, err
	}
	return c, n.checkPublished(ctx, &r.Accept.Record, from)
}

// errUnchanged ends an update that changes nothing.
var errUnchanged = errors.New("unchanged")

// acceptAtOnce bounds the content that goes into one commit: so much is in memory for
// each message, and what it is packed in.
const acceptAtOnce = 1 << 20

// acceptNew stages small contents and accepts their records, many in one commit. Nothing
// is staged of those whose record is not accepted.
func (n *Node) acceptNew(list []acceptance) []voted {
	results := make([]voted, 0, len(list))
	for len(list) > 0 {
		end, bytes := 0, 0
		for end < len(list) && (end == 0 || bytes+list[end].chunk.Raw <= acceptAtOnce) {
			bytes += list[end].chunk.Raw
			end++
		}
		results = append(results, n.acceptTogether(list[:end])...)
		list = list[end:]
	}
	return results
}

// acceptTogether is acceptNew in one commit.
func (n *Node) acceptTogether(list []acceptance) []voted {
	results := make([]voted, len(list))
	creations := make([]filestore.Creation, 0, len(list))
	at := make([]int, 0, len(list))
	for i, a := range list {
		raw, err := a.content(&n.coding.decode)
		if results[i].err = err; err == nil {
			at = append(at, i)
			creations = append(creations, filestore.Creation{
				Name: a.Accept.Record.Name, Content: raw, Decide: n.decideNew(&a.Accept, &results[i].answer),
			})
		}
	}
	for k, err := range n.createOrMakeRoom(creations) {
		switch i := at[k]; {
		case err == nil || errors.Is(err, errUnchanged) && results[i].answer.Status == register.OK:
			n.accepted(&list[i].Accept.Record)
		case !errors.Is(err, errUnchanged):
			results[i].err = err
		}
	}
	return results
}

// decideNew is the voter's rule for a new name; what it answers goes to answer.
func (n *Node) decideNew(m *register.Accept, answer *register.Answer) func(filestore.Register) (filestore.Register, error) {
	name := m.Record.Name
	known := n.authority.knowledge(name)
	return func(before filestore.Register) (after filestore.Register, err error) {
		if before.Record != nil && n.doubts.has(name, before.Accepted) {
			known = register.Ignorant
		}
		after, *answer = n.undoubting(name, func(r filestore.Register) (filestore.Register, register.Answer) {
			return register.OnCreate(r, *m, known, true)
		})(before)
		if before.Record != nil || answer.Status != register.OK {
			return before, errUnchanged
		}
		return after, nil
	}
}

// createOrMakeRoom has the store create files. Where there is no room it gives up what
// broke off, as makeRoom does.
func (n *Node) createOrMakeRoom(list []filestore.Creation) []error {
	errs := n.store.Create(list)
	full := func(err error) bool { return errors.Is(err, filestore.ErrNoSpace) }
	if slices.ContainsFunc(errs, full) && n.staged.dropParts() {
		for i, err := range errs {
			if full(err) {
				errs[i] = n.store.Create(list[i : i+1])[0]
			}
		}
	}
	return errs
}

// content is what is to be stored, checked unless this process has made it.
func (a *acceptance) content(d *transfer.Decoder) ([]byte, error) {
	switch {
	case a.chunk.Raw == 0:
		return nil, nil
	case a.own:
		return d.Unchecked(a.chunk, nil)
	}
	return d.View(a.chunk, nil)
}
