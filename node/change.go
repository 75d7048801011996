package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// How long a coordinator tries and waits.
const (
	changeTimeout = 15 * time.Second       // for one change, all its ballots together
	keepTimeout   = 4 * time.Second        // for finishing a value on behalf of a read
	lastCopyGrace = 500 * time.Millisecond // for the N-th copy once there are W
	firstPause    = 10 * time.Millisecond  // after a lost ballot, doubled each time up to
	longestPause  = 500 * time.Millisecond
)

// outcome is a chosen record and who accepted it.
type outcome struct {
	record    filestore.Record
	result    filestore.Result
	view      register.View
	acceptors []MachineID // voters of the record that confirmed; of the new ones while it moves
	moved     bool        // the voters are where the task wanted them
}

// patience says how long to wait for acceptances beyond the quorum.
type patience struct {
	none   bool // wait for nobody
	all    bool // until each has answered or failed
	copies int  // until there are so many, and then for lastCopyGrace
}

var (
	forGrace = patience{}
	forAll   = patience{all: true} // repair
)

// change runs a task on a name's register until a record is chosen. The errors
// are ErrUnavailable when nothing was proposed, ErrOutcome when something may
// have been chosen all the same, and ErrNotFound when there is nothing to keep
// or to move.
func (n *Node) change(ctx context.Context, name string, task register.Task, wait patience) (outcome, error) {
	view, err := n.view(ctx, name)
	if err != nil {
		return outcome{}, err
	}
	return n.changeFrom(ctx, name, view, task, wait)
}

// changeFrom is change with a view to begin with.
func (n *Node) changeFrom(ctx context.Context, name string, view register.View, task register.Task, wait patience) (outcome, error) {
	first, err := n.begin(ctx, name, view, task, 0)
	if err != nil {
		return outcome{}, err
	}
	return n.complete(ctx, first, task, wait)
}

// complete carries on from a ballot that was begun, with as many more as it takes.
func (n *Node) complete(ctx context.Context, b ballot, task register.Task, wait patience) (outcome, error) {
	proposed := false
	pause := firstPause
	for {
		step := b.collect(ctx, n.awaiting(b.to))
		if step == register.Propose {
			proposed = true
			step = n.accept(ctx, b, wait)
		}
		switch step {
		case register.Chosen:
			n.passBallot(b.round.Outbid())
			if !wait.all || !b.round.Conflicted() {
				return n.outcomeOf(b.round), nil
			}
			task.Met = b.round.Met() // a voter has another version, which the next ballot takes account of
		case register.Clash:
			kept, err := n.keepBeside(ctx, b.round.Clashes())
			if err != nil && proposed {
				err = fmt.Errorf("%w: %w", ErrOutcome, err)
			}
			if err != nil {
				return outcome{}, err
			}
			task.Met, task.Kept = b.round.Met(), append(slices.Clone(task.Kept), kept...)
		case register.Absent:
			return outcome{}, ErrNotFound
		case register.Unknown:
			return outcome{}, ErrOutcome
		}
		outbid, learned := b.round.Outbid().Counter, b.round.Learned()
		if step == register.Again && wait.all && outbid == 0 && learned.Basis == b.view.Basis && !b.round.Conflicted() {
			return outcome{}, ErrUnavailable // nobody objected, they are not there: repair comes back later
		}
		if err := sleep(ctx, time.Duration(rand.Int64N(int64(pause)))+pause/2); err != nil {
			if proposed {
				return outcome{}, fmt.Errorf("%w: %w", ErrOutcome, ErrUnavailable)
			}
			return outcome{}, ErrUnavailable
		}
		pause = min(2*pause, longestPause)
		view := n.nextView(ctx, b.name, b.view, learned)
		if b.round.Conflicted() {
			task.Met = b.round.Met()
		}
		if view.Basis.Compare(b.view.Basis) > 0 {
			task.Force = false // others have taken over
		}
		next, err := n.begin(ctx, b.name, view, task, outbid+1)
		if err != nil {
			if proposed {
				err = fmt.Errorf("%w: %w", ErrOutcome, err)
			}
			return outcome{}, err
		}
		b = next
	}
}

// nextView is where the next ballot goes: to the newest list that was heard
// of, now and then back to the previous one in case the newest was never chosen
// and those it names do not answer.
func (n *Node) nextView(ctx context.Context, name string, tried, learned register.View) register.View {
	if learned.Basis.Compare(tried.Basis) > 0 {
		return learned
	}
	if v, err := n.view(ctx, name); err == nil && (v.Basis.Compare(tried.Basis) > 0 || rand.IntN(4) == 0) {
		return v
	}
	return tried
}

// passBallot has this node's next ballots begin above one that a voter holds to: one
// whose table was lost, say, would refuse one after the other.
func (n *Node) passBallot(b filestore.Ballot) {
	if b.IsZero() || n.checkBallots(b) != nil {
		return
	}
	if _, err := n.store.NextCounter(b.Counter + 1); err != nil {
		n.log.Debug("could not pass a ballot", "err", err)
	}
}

func (n *Node) outcomeOf(r *register.Round) outcome {
	rec, result := r.Proposal()
	o := outcome{record: rec, result: result, view: r.ChosenView(), moved: r.Moved()}
	for _, m := range r.Acceptors() {
		if slices.Contains(rec.Voters.New, m) {
			o.acceptors = append(o.acceptors, m)
		}
	}
	return o
}

// ballot is one round under way: its prepares are out.
type ballot struct {
	name     string
	view     register.View
	round    *register.Round
	to       []MachineID
	answers  <-chan reply[register.Answer]
	promised map[MachineID]*promise
}

// promise is one machine's answer to a prepare, as far as the accept waits for it.
type promise struct {
	done chan struct{} // closed when the machine has answered or will not
	err  error         // it will not; read after done
}

// begin sends the prepares of a new ballot, whose counter is at least atLeast.
// The task's change is not applied before the answers are collected.
func (n *Node) begin(ctx context.Context, name string, view register.View, task register.Task, atLeast uint64) (ballot, error) {
	if err := n.checkBallots(view.Basis, filestore.Ballot{Counter: atLeast}); err != nil {
		return ballot{}, err
	}
	counter, err := n.store.NextCounter(max(atLeast, view.Basis.Counter+1))
	if err != nil {
		return ballot{}, err
	}
	b := ballot{name: name, view: view, promised: map[MachineID]*promise{}}
	b.round = register.NewRound(name, filestore.Ballot{Counter: counter, Machine: n.self()}, view, task)
	msg, to := b.round.Prepare()
	b.to = to
	for _, m := range to {
		b.promised[m] = &promise{done: make(chan struct{})}
	}
	b.answers = ask(n, to, func(m MachineID) (a register.Answer, err error) {
		p := b.promised[m]
		defer close(p.done)
		a, p.err = n.sendPrepare(ctx, m, msg)
		return a, p.err
	})
	return b, nil
}

// collect takes the answers to the prepares: Propose, Again, Absent or Unknown.
// Once somebody has objected, those that were silent a moment ago are not waited for.
func (b ballot) collect(ctx context.Context, w awaiting) register.Next {
	for range b.to {
		select {
		case a := <-b.answers:
			var step register.Next
			if a.err != nil {
				step = b.round.OnSilence(a.from)
			} else {
				step = b.round.OnPromise(a.from, a.is)
			}
			if w.came(a.from) && step == register.Wait && b.round.Objected() {
				step = passOver(w, register.Wait, b.round.OnSilence)
			}
			if step != register.Wait {
				return step
			}
		case <-ctx.Done():
			return register.Again
		}
	}
	return register.Again
}

// accept is the second half of a round: Chosen or Again. A machine is asked once
// it has promised, since Accept must not overtake Prepare. Machines that lack
// the content are made to obtain it from those that have it.
func (n *Node) accept(ctx context.Context, b ballot, wait patience) register.Next {
	r := b.round
	msg, to := r.Accept()
	w := n.awaiting(to)
	answers := ask(n, to, func(m MachineID) (register.Answer, error) {
		if p, asked := b.promised[m]; asked {
			select {
			case <-p.done:
			case <-n.tasks.closing:
				return register.Answer{}, ErrLeaving
			}
			if p.err != nil {
				return register.Answer{}, p.err
			}
		}
		a, err := n.sendAccept(ctx, m, msg)
		if err == nil && a.Status == register.NoContent {
			if err := n.makeObtain(ctx, m, msg.Record, holdersAmong(r.Met(), &msg.Record)); err != nil {
				return a, err
			}
			return n.sendAccept(ctx, m, msg)
		}
		return a, err
	})
	voters := msg.Record.Voters.New
	want := max(n.quorum(len(voters)), min(wait.copies, len(voters)))
	awaited := map[MachineID]bool{} // for whom it is worth while
	for _, m := range voters {
		if !wait.all || !n.silence.of(m) {
			awaited[m] = true
		}
	}
	result := register.Again
	var grace <-chan time.Time
	for range to {
		select {
		case a := <-answers:
			delete(awaited, a.from)
			var step register.Next
			if a.err != nil {
				n.log.Debug("no acceptance", "name", msg.Record.Name, "peer", n.members.label(a.from), "err", a.err)
				step = r.OnSilence(a.from)
			} else {
				step = r.OnAccepted(a.from, a.is)
			}
			if w.came(a.from) && step == register.Wait && r.Objected() {
				step = passOver(w, register.Wait, r.OnSilence)
			}
			if step == register.Again {
				return step
			}
			if step == register.Chosen {
				result = step
			}
		case <-grace:
			return result
		case <-ctx.Done():
			return result
		}
		switch {
		case result != register.Chosen:
		case wait.none, len(awaited) == 0:
			return result
		case !wait.all && grace == nil && len(n.outcomeOf(r).acceptors) >= want:
			grace = time.After(lastCopyGrace)
		}
	}
	return result
}

// holdersAmong are the machines that were met with a record's content.
func holdersAmong(met []register.Met, rec *filestore.Record) []MachineID {
	var l []MachineID
	for _, m := range met {
		if m.Held && m.Record.SameContent(rec) && !slices.Contains(l, m.From) {
			l = append(l, m.From)
		}
	}
	return l
}

// view finds out which voters to ask about a name: this node's own record where
// it is a voter, else the newest record that the key's group has, else the
// group itself, for a name that is not stored.
func (n *Node) view(ctx context.Context, name string) (register.View, error) {
	return n.viewHearing(ctx, name, heard{})
}

// heard are the answers of machines that have been asked about a name.
type heard map[MachineID]register.Answer

// under is what was heard of the record that was accepted under a ballot; nothing: a
// found without a record.
func (h heard) under(at filestore.Ballot) (f found) {
	for m, a := range h {
		if a.Record == nil || a.Accepted != at {
			continue
		}
		f.record, f.view, f.kept = a.Record, register.ViewOf(a.Record, at), true
		if a.Held {
			f.holders = append(f.holders, m)
		}
	}
	return f
}

// viewHearing is view, and keeps what machines have answered on the way.
func (n *Node) viewHearing(ctx context.Context, name string, h heard) (register.View, error) {
	own, err := n.own(name)
	if err != nil && !errors.Is(err, filestore.ErrDegraded) { // what is in doubt here others may know
		return register.View{}, err
	}
	best := register.View{}
	if own.Record != nil {
		best = register.ViewOf(own.Record, own.Accepted)
		if best.Voters.Contains(n.self()) {
			return best, nil
		}
		h[n.self()] = register.OnRead(own, register.Ignorant)
	}
	p, err := n.placeNear(ctx, chord.KeyOf(name))
	if err != nil {
		return register.View{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	group := machinesOf(p.group())
	known := n.newest(ctx, name, group, &best, h)
	if best.Basis.IsZero() && known < len(group) {
		// Some of the group cannot say. Those before it on the ring may have it still.
		n.newest(ctx, name, append(machinesOf(p.Live[len(group):]), p.Degraded...), &best, h)
	}
	if best.Basis.IsZero() {
		best.Voters = filestore.Voters{New: n.target(p, chord.KeyOf(name), nil)}
	}
	return best, nil
}

// viewToStore is view for a name that is likely to be new. A node that would know of
// it and does not asks nobody before it proposes something: were the name stored all
// the same, by voters that this node is not among, those say so instead of promising.
func (n *Node) viewToStore(ctx context.Context, name string) (register.View, error) {
	own, err := n.store.Register(name)
	if err != nil || own.Record != nil || n.authority.knowledge(name) != register.Authoritative {
		return n.view(ctx, name)
	}
	key := chord.KeyOf(name)
	p, err := n.placeNear(ctx, key)
	if err != nil {
		return register.View{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return register.View{Voters: filestore.Voters{New: n.target(p, key, nil)}}, nil
}

// newest asks machines for their record of a name, keeps the newest view among
// best and theirs in best, their answers in h, and counts those that knew. When a
// majority or a record is there, it waits for the others only for readGrace, and not
// for those that were silent a moment ago.
func (n *Node) newest(ctx context.Context, name string, to []MachineID, best *register.View, h heard) (known int) {
	to = slices.DeleteFunc(to, func(m MachineID) bool { return m == n.self() && !best.Basis.IsZero() })
	awaited := n.answering(to)
	answers := ask(n, to, func(m MachineID) (register.Answer, error) { return n.sendRead(ctx, m, name) })
	var grace <-chan time.Time
	for range to {
		enough := known >= register.Majority(len(to)) || known > 0 && !best.Basis.IsZero()
		if enough && len(awaited) == 0 {
			break
		}
		if enough && grace == nil {
			grace = time.After(readGrace)
		}
		var a reply[register.Answer]
		select {
		case a = <-answers:
		case <-grace:
			return known
		case <-ctx.Done():
			return known
		}
		delete(awaited, a.from)
		if a.err != nil {
			continue
		}
		h[a.from] = a.is
		if a.is.Status != register.OK {
			continue
		}
		known++
		if a.is.Record != nil && a.is.Accepted.Compare(best.Basis) > 0 {
			*best = register.ViewOf(a.is.Record, a.is.Accepted)
		}
	}
	return known
}

func machinesOf(peers []chord.Peer) []MachineID {
	l := make([]MachineID, len(peers))
	for i, p := range peers {
		l[i] = p.Machine
	}
	return l
}

// sleep waits unless the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
