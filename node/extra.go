package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Extra copies: a file stored with more copies than the ring keeps of each has
// them at machines that follow its voters on the ring. They hold content and
// record and have no vote. The record says how many copies are wanted, and not
// who makes them: the machines nearest to the key that have room. A machine
// keeps such a copy as long as fewer than wanted are held by those before it.

// maxCopies bounds the copies that one file can have.
const maxCopies = 255

// spareHolders is how many more members are asked for copies beyond the voters
// than there should be: some of the nearest may have been unable to make one.
const spareHolders = 3

// checkRaised refuses options that ask for less than the ring gives.
func (n *Node) checkRaised(o StoreOptions) error {
	g := n.genesis()
	switch {
	case o.Replicas > 0 && o.Replicas < g.N:
		return fmt.Errorf("%w: %d replicas: this ring keeps %d of each file, and only more can be asked for", ErrBadOption, o.Replicas, g.N)
	case o.Quorum > 0 && o.Quorum < g.W:
		return fmt.Errorf("%w: a write quorum of %d: this ring waits for %d copies, and only more can be asked for", ErrBadOption, o.Quorum, g.W)
	case max(o.Replicas, o.Quorum) > maxCopies:
		return fmt.Errorf("%w: at most %d copies", ErrBadOption, maxCopies)
	}
	return nil
}

// asCopies is what a record says of the copies asked for: nothing where the
// ring keeps as many anyway.
func (n *Node) asCopies(asked int) uint8 {
	if asked <= n.genesis().N {
		return 0
	}
	return uint8(min(asked, maxCopies))
}

// moreCopies is a record of which at least so many copies are wanted.
func moreCopies(rec filestore.Record, copies uint8) filestore.Record {
	rec.Copies = max(rec.Copies, copies)
	return rec
}

// beyond are the machines that may hold the copies beyond the voters which make
// up the number asked for, the nearest to the key first.
func (n *Node) beyond(ctx context.Context, name string, v filestore.Voters, copies int) []MachineID {
	if copies <= len(v.New) {
		return nil
	}
	l := n.following(ctx, name, v)
	return l[:min(len(l), copies-len(v.New))]
}

// following are the live machines after the key that do not vote.
func (n *Node) following(ctx context.Context, name string, v filestore.Voters) []MachineID {
	p, err := n.place(ctx, chord.KeyOf(name))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(machinesOf(p.Live), v.Contains)
}

// likelyHolders are the machines to ask for copies of a record: its voters, and
// if there are to be more the members whose places follow, with some to spare.
func (n *Node) likelyHolders(rec *filestore.Record) []MachineID {
	l := rec.Voters.All()
	if rec.Wanted() == len(rec.Voters.New) {
		return l
	}
	for _, m := range n.members.after(chord.KeyOf(rec.Name)) {
		if len(l) < rec.Wanted()+spareHolders && !slices.Contains(l, m) {
			l = append(l, m)
		}
	}
	return l
}

// makeExtra has the copies beyond the voters made that a record wants, and returns
// the machines that confirmed theirs. Those that have one already come first,
// then those with an older version, then the nearest to the key; one that cannot
// is passed over. The record was chosen at a ballot, and holders have its content.
func (n *Node) makeExtra(ctx context.Context, rec filestore.Record, at filestore.Ballot, holders []MachineID) []MachineID {
	return n.makeBeyond(ctx, keepRequest{Record: rec, At: at, Sources: holders}, rec.Wanted()-len(rec.Voters.New))
}

// makeBeyond is makeExtra for so many copies.
func (n *Node) makeBeyond(ctx context.Context, req keepRequest, need int) []MachineID {
	if need <= 0 {
		return nil
	}
	rec := req.Record
	candidates := n.following(ctx, rec.Name, rec.Voters)
	states := n.statesAt(ctx, candidates, rec)
	slices.SortStableFunc(candidates, func(a, b MachineID) int { return preference(states[a]) - preference(states[b]) })
	var confirmed []MachineID
	for len(confirmed) < need && len(candidates) > 0 && ctx.Err() == nil {
		k := min(need-len(confirmed), len(candidates))
		answers := ask(n, candidates[:k], func(m MachineID) (struct{}, error) {
			return struct{}{}, n.makeKeep(ctx, m, req)
		})
		for range k {
			if a := <-answers; a.err == nil {
				confirmed = append(confirmed, a.from)
			} else {
				n.log.Debug("no copy beyond the voters", "name", rec.Name, "peer", n.members.label(a.from), "err", a.err)
			}
		}
		candidates = candidates[k:]
	}
	return confirmed
}

// preference orders candidates for an extra copy by what they have of the file.
func preference(s HolderState) int {
	switch s {
	case Durable:
		return 0
	case Stale:
		return 1
	}
	return 2
}

// statesAt are what those of the machines that answer hold of a record's content.
func (n *Node) statesAt(ctx context.Context, machines []MachineID, rec filestore.Record) map[MachineID]HolderState {
	want := []holding{{Name: rec.Name, Op: rec.Op, SHA256: rec.SHA256}}
	answers := ask(n, machines, func(m MachineID) ([]HolderState, error) { return n.holdings(ctx, m, want) })
	states := map[MachineID]HolderState{}
	for range machines {
		if a := <-answers; a.err == nil {
			states[a.from] = a.is[0]
		}
	}
	return states
}

// makeKeep has a machine keep a copy without a vote.
func (n *Node) makeKeep(ctx context.Context, m MachineID, req keepRequest) error {
	limit := obtainTimeout + time.Duration(req.Record.Size/obtainRate)*time.Second
	if req.Repair {
		limit = 2*obtainTimeout + time.Duration(req.Record.Size/repairRate)*time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if m == n.self() {
		return n.onKeep(ctx, req, m)
	}
	return n.net.Call(ctx, n.members.peer(m), callKeep, req, nil)
}

// onKeep keeps a copy without a vote: the content, then the record. Who votes on a
// name is signed by nobody, so that the record of another machine is not taken at
// its word: a voter that did would give up its vote for a list that was made up.
func (n *Node) onKeep(ctx context.Context, req keepRequest, from MachineID) error {
	if n.state.leaving.Load() {
		return ErrLeaving
	}
	if err := n.checkBallots(req.At); err != nil {
		return err
	}
	if err := n.checkPublished(ctx, &req.Record, from); err != nil {
		return err
	}
	rec, at := req.Record, req.At
	if from != n.self() {
		f, err := n.read(ctx, rec.Name)
		switch {
		case err != nil:
			return err
		case !f.confirmed:
			return ErrUnavailable
		case f.live() == nil || f.view.Basis.Compare(at) < 0:
			return fmt.Errorf("%w: what is to be kept is not what is stored", ErrInterrupted)
		}
		rec, at = *f.record, f.view.Basis
	}
	if rec.Voters.Contains(n.self()) {
		return fmt.Errorf("%w: a voter's copy is its register's", ErrBadOption)
	}
	sources := slices.DeleteFunc(n.rank(&rec, req.Sources), func(m MachineID) bool { return m == n.self() })
	if err := n.obtain(ctx, obtainRequest{Record: rec, Sources: sources, Repair: req.Repair}); err != nil {
		return err
	}
	reg, err := n.store.Learn(rec.Name, func(r filestore.Register) (filestore.Register, error) {
		return register.OnChosen(n.self(), r, at, rec), nil
	})
	if err != nil {
		return err
	}
	n.staged.settle(rec.Name, rec.SHA256)
	if !reg.Held || reg.Record.Op != rec.Op {
		return fmt.Errorf("%w: another version is here", ErrInterrupted)
	}
	n.authority.arrived(rec.Name)
	return nil
}

// keepExtra looks whether a record has the copies that it wants beyond its
// voters, has them made, and returns how many are missing all the same.
func (n *Node) keepExtra(ctx context.Context, name string) (missing int, err error) {
	f, err := n.read(ctx, name)
	if err != nil {
		return 0, err
	}
	rec := f.live()
	if rec == nil || !f.confirmed || rec.Voters.Joint() {
		return 0, nil
	}
	return rec.Wanted() - len(rec.Voters.New) - len(n.makeExtra(ctx, *rec, f.view.Basis, f.holders)), nil
}

// isExtra reports whether a copy of a record that this node does not vote on is
// one of those wanted beyond the voters.
func (n *Node) isExtra(ctx context.Context, rec filestore.Record) bool {
	need := rec.Wanted() - len(rec.Voters.New)
	if need <= 0 || n.state.leaving.Load() {
		return false
	}
	l := n.following(ctx, rec.Name, rec.Voters)
	i := slices.Index(l, n.self())
	if i < 0 {
		return false
	}
	for _, state := range n.statesAt(ctx, l[:i], rec) {
		if state == Durable {
			need--
		}
	}
	return need > 0
}

// lookAtExtra is keepExtra as a part of a repair round.
func (n *Node) lookAtExtra(ctx context.Context, name string, r *roundResult) error {
	missing, err := n.keepExtra(ctx, name)
	r.extra.Add(int64(missing))
	return err
}
