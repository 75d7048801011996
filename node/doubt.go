package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Doubt: a node that was away for longer than tombstones are certain to be
// kept, or whose table was lost and made anew from its files, may have records
// of what was deleted or replaced and forgotten long ago. It does not vote on
// these names, tells nobody of them and pushes nothing, but gives out content
// to those who ask for it. It asks the other voters about each: what they have
// is what is true, and what a majority knows not to be stored is given up.

// doubts are the registers that a node doubts. It may be used concurrently.
type doubts struct {
	store *filestore.Store
	clock *ringClock

	mu    sync.Mutex
	since time.Time // when they began, in the life of this process
	names alongRing[doubt]
}

type doubt struct {
	at  filestore.Ballot
	sum filestore.Fingerprint
}

// metaDoubt is there while doubts of an absence last.
const metaDoubt = "doubt"

// openDoubts goes on with doubts that were there when the node last ran, and
// begins to doubt when the table was rebuilt.
func openDoubts(s *filestore.Store, c *ringClock) (*doubts, error) {
	d := &doubts{store: s, clock: c}
	b, err := s.Meta(metaDoubt)
	if err != nil {
		return nil, err
	}
	if s.Rebuilt() || b != nil {
		return d, d.all()
	}
	return d, nil
}

// begin doubts everything, durably: the node was away.
func (d *doubts) begin() error {
	if err := d.store.SetMeta(metaDoubt, []byte{1}); err != nil {
		return err
	}
	return d.all()
}

// all doubts every register that has a record.
func (d *doubts) all() error {
	d.mu.Lock()
	d.since = time.Now()
	d.mu.Unlock()
	for reg, err := range d.store.Registers(chord.ID{}, chord.ID{}, filestore.Cursor{}) {
		if err != nil {
			return err
		}
		if reg.Record == nil {
			continue
		}
		state := filestore.NotHeld
		if reg.Held {
			state = filestore.IsHeld
		}
		d.mu.Lock()
		d.names.put(reg.Name, doubt{reg.Accepted, d.store.FingerprintOf(reg.Name, reg.Accepted, state)})
		d.mu.Unlock()
	}
	return nil
}

// has reports whether the record that was accepted at a ballot is doubted.
func (d *doubts) has(name string, at filestore.Ballot) bool {
	if d.clock.mayBeAway() {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	x, ok := d.names.get(name)
	return ok && x.at == at
}

// sum is the fingerprint of the doubted registers of an arc, and counts them.
func (d *doubts) sum(a arc) (f filestore.Fingerprint, count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.names.in(a) {
		f, count = f.Plus(x.sum), count+1
	}
	return f, count
}

// any reports whether there are doubts.
func (d *doubts) any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names.len() > 0
}

// anyIn reports whether there are doubts in an arc about what was accepted at a ballot
// that is known. Of a file without one nothing says when it was.
func (d *doubts) anyIn(a arc) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.names.in(a) {
		if !x.at.IsZero() {
			return true
		}
	}
	return false
}

// settle ends the doubt of a name.
func (d *doubts) settle(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names.remove(name)
}

// list are the names in doubt.
func (d *doubts) list() (l []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.names.values {
		l = append(l, name)
	}
	return l
}

// fresh reports whether there are doubts that most likely end soon. Till then the
// node takes no part in comparing, as if it were not there.
func (d *doubts) fresh() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names.len() > 0 && time.Since(d.since) < doubtFor
}

// end makes it durable that no doubts are left.
func (d *doubts) end() error {
	if d.store.Rebuilt() {
		if err := d.store.Trust(); err != nil {
			return err
		}
	}
	if b, err := d.store.Meta(metaDoubt); err != nil || b == nil {
		return err
	}
	return d.store.SetMeta(metaDoubt, nil)
}

// heardClock takes what another member's ring clock shows.
func (n *Node) heardClock(count time.Duration) error {
	age := time.Since(time.Unix(n.genesis().Created, 0))
	if count > age+24*time.Hour {
		return nil // no ring has run for longer than it has existed
	}
	behind := n.clock.hear(count)
	if behind <= n.cfg.Timing.Away {
		return nil
	}
	if files, _, _ := n.store.Usage(); files > 0 {
		n.log.Warn("this node was away for long: what it holds is checked against the ring before it counts", "away", behind)
	}
	if err := n.doubts.begin(); err != nil {
		return fmt.Errorf("doubt what is held: %w", err)
	}
	signal(n.wake.joined)
	return errors.Join(n.authority.disclaim(), n.clock.save())
}

// heldInDoubt is what a read comes to that nobody answers, at a node that holds
// content it doubts: that content, unconfirmed.
func (n *Node) heldInDoubt(name string) (found, bool) {
	r, err := n.store.Register(name)
	if err != nil || !r.Held || !n.doubts.has(name, r.Accepted) {
		return found{}, false
	}
	return found{record: r.Record, view: register.View{Voters: r.Record.Voters, Basis: r.Accepted}, holders: []MachineID{n.self()}}, true
}

// own is this node's register of a name, as far as it may speak of it: without
// its record where that is doubted.
func (n *Node) own(name string) (filestore.Register, error) {
	r, err := n.store.Register(name)
	if err == nil && r.Record != nil && n.doubts.has(name, r.Accepted) {
		r = filestore.Register{Promised: r.Promised}
	}
	return r, err
}

// undoubting applies a voter rule to a register without its record where that is
// doubted. The record stays until the rule accepts another, and then, too, if the
// name was taken over without it, see register.OnReturn.
func (n *Node) undoubting(name string, rule func(filestore.Register) (filestore.Register, register.Answer)) func(filestore.Register) (filestore.Register, register.Answer) {
	return func(r filestore.Register) (filestore.Register, register.Answer) {
		if r.Record == nil || !n.doubts.has(name, r.Accepted) {
			return rule(r)
		}
		next, a := rule(filestore.Register{Promised: r.Promised})
		if next.Record == nil {
			r.Promised = next.Promised
			return r, a
		}
		if conflict, ok := register.OnReturn(r, next.Record); ok {
			return r, conflict
		}
		return next, a
	}
}

// knowledge is what this node may answer for a name that it has no record of, or
// only one that it doubts.
func (n *Node) knowledge(name string) register.Knowledge {
	r, err := n.store.Register(name)
	return n.knowledgeBy(name, err != nil || r.Record != nil && n.doubts.has(name, r.Accepted))
}

// knowledgeBy is knowledge where it is known whether there is a record that is doubted.
func (n *Node) knowledgeBy(name string, doubted bool) register.Knowledge {
	if doubted {
		return register.Ignorant
	}
	return n.authority.knowledge(name)
}

// resolve are the jobs that end this node's doubts.
func (n *Node) resolve() (jobs []job, err error) {
	names := n.doubts.list()
	if len(names) == 0 {
		return nil, n.doubts.end()
	}
	for _, name := range names {
		jobs = append(jobs, job{name, 0, func(ctx context.Context) error { return n.resolveOne(ctx, name) }})
	}
	return jobs, nil
}

// resolveOne finds out what the others have of a doubted name.
func (n *Node) resolveOne(ctx context.Context, name string) error {
	reg, err := n.store.Register(name)
	if err != nil {
		return err
	}
	if reg.Record == nil || !n.doubts.has(name, reg.Accepted) {
		n.doubts.settle(name)
		return nil
	}
	f, err := n.read(ctx, name)
	switch {
	case err == nil && f.confirmed && f.record == nil:
		n.log.Info("gave up what was deleted while this node was away", "name", name)
		if err := n.store.Discard(name, reg.Accepted); err != nil {
			return err
		}
	case err == nil && f.confirmed && f.view.Basis == reg.Accepted: // they agree
	case err == nil && f.confirmed && f.record.Voters.Contains(n.self()):
		if err := n.refresh(ctx, name, f.record.Voters.New); err != nil {
			return err
		}
		return n.settleAccepted(name)
	case err == nil && f.confirmed:
		if f, err = n.takenAccountOf(ctx, f, reg); err != nil {
			return err
		}
		_, err = n.store.Learn(name, func(filestore.Register) (filestore.Register, error) {
			return register.OnChosen(n.self(), filestore.Register{Promised: reg.Promised}, f.view.Basis, *f.record), nil
		})
		if err != nil {
			return err
		}
	default:
		if !n.vouched(ctx, reg) {
			return ErrUnavailable
		}
	}
	n.doubts.settle(name)
	return nil
}

// takenAccountOf has a chosen record take account of the doubted one that is here, where
// it parted from that one before, and returns what is chosen then.
func (n *Node) takenAccountOf(ctx context.Context, f found, reg filestore.Register) (found, error) {
	if _, conflict := register.OnReturn(reg, f.record); !conflict {
		return f, nil
	}
	met := register.Met{From: n.self(), Record: reg.Record, At: reg.Accepted, Held: true}
	o, err := n.changeFrom(ctx, reg.Record.Name, f.view, register.Task{Met: []register.Met{met}}, forAll)
	return found{record: &o.record, view: o.view, confirmed: true}, err
}

// vouched reports whether a doubted record may count again although no majority
// that does not doubt can tell: a voter without doubts has that very record; or
// for doubtFor all its voters that have not gone for good and all that should be
// have been there, none of them knows that there is nothing, and too many
// doubt, as when all tables were lost at once.
func (n *Node) vouched(ctx context.Context, reg filestore.Register) bool {
	if reg.Accepted.IsZero() || len(reg.Record.Voters.New) == 0 {
		return false // a rebuilt one that was never seen accepted
	}
	p, err := n.place(ctx, chord.KeyOf(reg.Record.Name))
	if err != nil {
		return false
	}
	voters := slices.DeleteFunc(reg.Record.Voters.All(), n.members.gone)
	for _, m := range n.target(p, chord.KeyOf(reg.Record.Name), nil) { // those that are not alive as well
		if !slices.Contains(voters, m) {
			voters = append(voters, m)
		}
	}
	voters = slices.DeleteFunc(voters, func(m MachineID) bool { return m == n.self() })
	answers := ask(n, voters, func(m MachineID) (register.Answer, error) { return n.sendRead(ctx, m, reg.Record.Name) })
	all := true
	for range voters {
		a := <-answers
		switch {
		case a.err != nil || a.is.Status == register.OK && a.is.Record == nil:
			all = false
		case a.is.Status == register.OK && a.is.Accepted == reg.Accepted:
			return true
		}
	}
	if all = all && n.doubts.any() && !n.doubts.fresh(); all {
		n.log.Warn("took a record as it is, since too many of its voters have doubts", "name", reg.Record.Name)
	}
	return all
}

// settleAccepted ends the doubt of a name once another record was accepted.
func (n *Node) settleAccepted(name string) error {
	reg, err := n.store.Register(name)
	if err != nil {
		return err
	}
	if n.doubts.has(name, reg.Accepted) {
		return ErrUnavailable
	}
	n.doubts.settle(name)
	return nil
}
