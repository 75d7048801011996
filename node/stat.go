package node

import (
	"context"
	"errors"
	"slices"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// Stat tells all about one file, its holders included, each as it answers now.
// Not Confirmed means that too few of the name's voters answered to be sure
// that this is the newest version. The error is ErrNotFound or ErrUnavailable,
// wrapped in an OpError; with ErrNotFound the Record is the tombstone, if the
// name was stored before, whose Changes are the base of the next operation.
func (n *Node) Stat(ctx context.Context, name string) (File, error) {
	f, err := n.stat(ctx, name)
	if err != nil {
		return f, &OpError{Op: "stat", Name: name, Err: err}
	}
	return f, nil
}

func (n *Node) stat(ctx context.Context, name string) (File, error) {
	f, err := n.find(ctx, name)
	if err != nil {
		file := File{Key: chord.KeyOf(name), Confirmed: f.confirmed}
		if f.record != nil {
			file.Record = *f.record
		}
		return file, err
	}
	rec := f.live()
	file := File{
		Record: *rec, Key: chord.KeyOf(name), Role: n.role(rec),
		Want: rec.Wanted(), Confirmed: f.confirmed,
		Holders: n.holdersOf(ctx, *rec), Conflicts: n.conflictsOf(ctx, rec),
	}
	for _, h := range file.Holders {
		if h.State == Durable {
			file.Copies++
		}
	}
	return file, nil
}

// Look is Stat without asking who holds the file: what is stored under a name, as a
// store wants to know it first.
func (n *Node) Look(ctx context.Context, name string) (File, error) {
	f, err := n.find(ctx, name)
	file := File{Key: chord.KeyOf(name), Confirmed: f.confirmed}
	if f.record != nil {
		file.Record, file.Want = *f.record, f.record.Wanted()
	}
	if err != nil {
		return file, &OpError{Op: "look up", Name: name, Err: err}
	}
	return file, nil
}

// Vacancy tells whether nothing is stored under a name.
type Vacancy struct {
	Free    bool   // confirmed; otherwise Stat tells
	Changes uint64 // with Free: the counter of all changes of the name, the base of the next operation
}

// Vacant looks up many names at once that are likely to be new.
func (n *Node) Vacant(ctx context.Context, names []string) []Vacancy {
	var l []Vacancy
	for part := range slices.Chunk(names, manyNames) {
		for _, f := range n.readMany(ctx, part, true) {
			l = append(l, Vacancy{f.confirmed && f.live() == nil, f.changes()})
		}
	}
	return l
}

// find reads a name that is to be there: ErrNotFound otherwise, with the
// tombstone if there is one.
func (n *Node) find(ctx context.Context, name string) (found, error) {
	return n.findBy(ctx, name, 0)
}

// findBy is find with so many voters agreed; see readFor.
func (n *Node) findBy(ctx context.Context, name string, need int) (found, error) {
	if err := filestore.ValidateName(name); err != nil {
		return found{}, err
	}
	f, err := n.readFor(ctx, name, need)
	if err != nil {
		if held, ok := n.heldInDoubt(name); ok && need == 0 && errors.Is(err, ErrUnavailable) {
			return held, nil
		}
		return found{}, err
	}
	if held, ok := n.heldInDoubt(name); ok && f.kept && held.view.Basis.Compare(f.view.Basis) > 0 {
		return held, nil
	}
	if f.live() == nil {
		if !f.confirmed {
			return found{}, ErrUnavailable
		}
		return f, ErrNotFound
	}
	return f, nil
}

// role is this node's part in keeping a file.
func (n *Node) role(rec *filestore.Record) Role {
	return n.roleIf(rec, func() bool { return n.store.Holds(rec.Name, rec.SHA256) })
}

// roleIf is role where here reports whether this node holds the content.
func (n *Node) roleIf(rec *filestore.Record, here func() bool) Role {
	key := chord.KeyOf(rec.Name)
	for _, p := range n.ring.Positions() {
		if p.Predecessor == nil && len(p.Successors) == 0 ||
			p.Predecessor != nil && chord.BetweenIncl(key, p.Predecessor.ID, p.Self.ID) {
			return Owner
		}
	}
	switch {
	case slices.Contains(rec.Voters.New, n.self()):
		return Replica
	case here():
		return Copy
	}
	return None
}

// holdersOf asks the voters of a record, and the group that its key has now,
// what they hold of it. The owner comes first, then its successors.
func (n *Node) holdersOf(ctx context.Context, rec filestore.Record) []Holder {
	key := chord.KeyOf(rec.Name)
	to := rec.Voters.All()
	if p, err := n.place(ctx, key); err == nil {
		around := p.group()
		if rec.Wanted() > len(rec.Voters.New) {
			around = p.Live // some of the copies are there
		}
		for _, m := range machinesOf(around) {
			if !slices.Contains(to, m) {
				to = append(to, m)
			}
		}
	}
	want := []holding{{Name: rec.Name, Op: rec.Op, SHA256: rec.SHA256}}
	answers := ask(n, to, func(m MachineID) ([]HolderState, error) { return n.holdings(ctx, m, want) })
	var l []Holder
	for range to {
		a := <-answers
		h := n.holder(a.from, key)
		h.Voter = rec.Voters.Contains(a.from)
		switch {
		case a.err != nil:
			h.State = Unreachable
		default:
			h.State = a.is[0]
		}
		if h.Voter || h.State == Durable {
			l = append(l, h)
		}
	}
	if slices.ContainsFunc(l, func(h Holder) bool { return h.Voter && h.State != Durable }) {
		l = append(l, n.standIns(ctx, rec, to)...)
	}
	slices.SortFunc(l, func(a, b Holder) int { return key.Distance(a.ID).Compare(key.Distance(b.ID)) })
	return l
}

// standIns are the machines after those given that keep a copy of a record.
func (n *Node) standIns(ctx context.Context, rec filestore.Record, not []MachineID) []Holder {
	to := n.following(ctx, rec.Name, filestore.Voters{New: not})
	var l []Holder
	for m, state := range n.statesAt(ctx, to[:min(len(to), spareHolders)], rec) {
		if state == Durable {
			h := n.holder(m, chord.KeyOf(rec.Name))
			h.State = Durable
			l = append(l, h)
		}
	}
	return l
}

// holder describes a machine as a place for key.
func (n *Node) holder(m MachineID, key chord.ID) Holder {
	h := Holder{Label: n.members.label(m), Machine: m}
	x, ok := n.members.set.Get(m)
	if !ok {
		return h
	}
	if len(x.Addrs) > 0 {
		h.Addr = x.Addrs[0]
	}
	for i, p := range x.Positions() {
		if i == 0 || key.Distance(p).Compare(key.Distance(h.ID)) < 0 {
			h.ID = p
		}
	}
	return h
}

// holdings asks one machine what it holds of some contents, in their order.
func (n *Node) holdings(ctx context.Context, m MachineID, of []holding) ([]HolderState, error) {
	var reply holdingsReply
	var err error
	if m == n.self() {
		reply, err = n.onHoldings(holdingsRequest{Of: of})
	} else {
		err = n.call(ctx, m, callHoldings, holdingsRequest{Of: of}, &reply)
	}
	if err == nil && len(reply.States) != len(of) {
		err = errBadReply
	}
	return reply.States, err
}

// onHoldings answers a peer that asks.
func (n *Node) onHoldings(req holdingsRequest) (holdingsReply, error) {
	reply := holdingsReply{States: make([]HolderState, 0, len(req.Of))}
	for _, h := range req.Of {
		r, err := n.store.Register(h.Name)
		if err != nil && !errors.Is(err, filestore.ErrDegraded) { // what is in doubt is none to count on
			return reply, err
		}
		state := Missing
		switch {
		case r.Record != nil && !r.Held && n.healer.knows(h.Name):
			state = Damaged
		case r.Record == nil || !r.Held:
		case r.Record.Op == h.Op && r.Record.SHA256 == h.SHA256:
			state = Durable
		default:
			state = Stale
		}
		reply.States = append(reply.States, state)
	}
	return reply, nil
}
