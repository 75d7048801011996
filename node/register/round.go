package register

import (
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
)

// Change is one client operation on a name.
type Change struct {
	Op   filestore.OpID
	Base uint64 // the name's change counter before the operation's first attempt
	// Apply computes the value that follows cur, which is nil for a name that
	// was never stored. A failed precondition returns cur as it is, a tombstone
	// for nil, with the result that says so. With no result at all (zero) there
	// is nothing to be remembered and the round proposes nothing: Absent. Voters,
	// counter and history are not its business.
	Apply func(cur *filestore.Record) (filestore.Record, filestore.Result)
}

// Task is what a round is for. The zero Task proposes the present value again,
// which finishes whatever was left half accepted.
type Task struct {
	Change *Change
	Target []filestore.MachineID // move the voters there; nil: leave them
	// Force moves the voters to Target in one step, without a majority of those
	// there are. It begins a new branch, and changes nothing else.
	Force bool
	// Known is, with Force, a record that a machine without a vote has kept, for
	// where no voter may be left that has it. Without a record: none.
	Known Met
	// Met are records of other branches that were met elsewhere. Like those that
	// come with promises they are taken account of.
	Met []Met
	// Kept are the versions, by their operations, that are stored beside the name
	// already, so that they may lose it.
	Kept []filestore.OpID
}

// Next says what the round's driver does next.
type Next uint8

// What follows an answer.
const (
	Wait    Next = iota // for more answers
	Propose             // send Accept
	Chosen              // the record is chosen; further acceptances may be fed to count copies
	Again               // this ballot cannot win: begin a new round with a greater one
	Absent              // a majority knows that there is no record, or none that the change is about, and the task makes none
	Unknown             // the operation is older than the history: nobody can tell whether it happened
	Clash               // versions have to be stored beside the name first; see Clashes
)

// Round is one ballot of one coordinator: Prepare, then Accept. It is not safe
// for concurrent use.
type Round struct {
	name   string
	ballot filestore.Ballot
	view   View
	task   Task
	quorum filestore.Voters // whose majorities the present phase needs

	accepting bool
	granted   map[filestore.MachineID]filestore.Ballot // promise or acceptance, with what was accepted before
	met       []Met                                    // what came with the promises, and with refusals because of a conflict
	clashes   []Met

	conflicted bool
	lost       map[filestore.MachineID]bool // refused, ignorant or silent
	vacant     map[filestore.MachineID]bool // of them, those that let a name be created all the same
	best       *filestore.Record
	bestAt     filestore.Ballot
	proposal   filestore.Record
	result     filestore.Result
	learned    View
	outbid     filestore.Ballot
}

// NewRound begins a round under a ballot that its coordinator never used before.
func NewRound(name string, b filestore.Ballot, v View, t Task) *Round {
	if v.Basis.IsZero() {
		v.Branch = branchOf(filestore.Branch{}, filestore.Ballot{}, v.Voters.New)
	}
	r := &Round{name: name, ballot: b, view: v, task: t, learned: v}
	r.quorum = v.Voters
	switch {
	case t.Force:
		r.quorum = filestore.Voters{New: t.Target}
		if k := t.Known; k.Record != nil && k.Record.Branch == v.Branch {
			r.best, r.bestAt = k.Record, k.At
		}
	case r.starts():
		r.quorum = filestore.Voters{Old: v.Voters.New, New: t.Target}
	}
	r.met = slices.Clone(t.Met)
	r.reset()
	return r
}

// starts: this round writes the joint record of a move.
func (r *Round) starts() bool {
	v := r.view.Voters
	return r.task.Target != nil && !r.task.Force && !v.Joint() && !sameSet(v.New, r.task.Target)
}

func (r *Round) reset() {
	r.granted = map[filestore.MachineID]filestore.Ballot{}
	r.lost, r.vacant = map[filestore.MachineID]bool{}, map[filestore.MachineID]bool{}
}

// Prepare is the first message and the machines it goes to. A round that takes
// over asks all there are for what they have.
func (r *Round) Prepare() (Prepare, []filestore.MachineID) {
	m := Prepare{Name: r.name, Ballot: r.ballot, View: r.view, Forced: r.task.Force}
	if r.starts() || r.task.Force {
		m.Joining = r.task.Target
	}
	return m, filestore.Voters{Old: r.view.Voters.All(), New: r.quorum.All()}.All()
}

// OnPromise takes a voter's answer to Prepare: Wait, Propose, Again, Absent or Unknown.
func (r *Round) OnPromise(from filestore.MachineID, a Answer) Next {
	if r.accepting {
		return Wait
	}
	if a.Status != OK {
		return r.refused(from, a)
	}
	r.granted[from] = a.Accepted
	r.note(from, a)
	if a.Record != nil && r.decides(from) && a.Record.Branch == r.view.Branch && a.Accepted.Compare(r.bestAt) > 0 {
		r.best, r.bestAt = a.Record, a.Accepted
	}
	switch {
	case !Quorum(r.quorum, r.has):
		return r.wanting()
	case r.task.Force && r.learned.Basis.Compare(r.view.Basis) > 0:
		return Again // somebody knows more than this task does
	case r.task.Force && r.bestAt.Compare(r.view.Basis) < 0:
		return Wait
	}
	return r.propose()
}

// decides reports whether what a machine has may be the present record: the voters
// there are have that. Who joins them may have voted before the name was deleted and
// forgotten, and was then created again, perhaps under a lower ballot.
func (r *Round) decides(m filestore.MachineID) bool {
	return r.task.Force || r.view.Voters.Contains(m)
}

// propose computes the record to be accepted from a majority's promises.
func (r *Round) propose() Next {
	if r.best == nil && !r.view.Basis.IsZero() {
		return Again // the view stems from a record that none of these has seen
	}
	if len(r.vacant) > 0 && !Quorum(r.quorum, r.has) {
		return r.create()
	}
	p := filestore.Record{Branch: r.view.Branch}
	if r.best != nil {
		p = *r.best
		if r.clashes = takeAccount(&p, r.met, r.task.Kept); len(r.clashes) > 0 {
			return Clash
		}
	}
	p.Voters = r.view.Voters
	switch {
	case r.task.Force:
		from := filestore.Seen{Branch: p.Branch, UpTo: r.bestAt}
		p.Branch = branchOf(p.Branch, r.bestAt, r.task.Target)
		see(&p, from)
		p.Voters, p.Forced = r.quorum, true
	case r.starts():
		p.Voters = r.quorum
	case r.view.Voters.Joint() && r.mayDropOld():
		p.Voters = filestore.Voters{New: r.view.Voters.New}
	}
	if c := r.task.Change; c != nil {
		if step := r.apply(c, &p); step != Propose {
			return step
		}
	} else if r.best == nil {
		return Absent
	}
	r.proposal, r.accepting = p, true
	r.quorum = p.Voters
	r.reset()
	return Propose
}

// create computes the first record of a name of which nobody there can tell
// whether it exists: in a branch of its own, so that a record that comes back
// gives way to nothing unseen. Anything but a store would say that there is none.
func (r *Round) create() Next {
	p := filestore.Record{Branch: branchOf(filestore.Branch{}, r.ballot, r.view.Voters.New), Voters: r.view.Voters}
	if c := r.task.Change; c == nil || r.apply(c, &p) != Propose || r.result != filestore.ResultStored {
		return Again
	}
	p.Forced = true
	r.proposal, r.accepting = p, true
	r.reset()
	return Propose
}

// mayCreate: everybody has answered or will not, nobody has a record, and those
// who let the name be created are a majority with those who know that there is none.
func (r *Round) mayCreate() bool {
	return !r.accepting && len(r.vacant) > 0 && r.best == nil && len(r.met) == 0 && r.view.Basis.IsZero() && !r.Objected() &&
		!r.awaits() &&
		Quorum(r.quorum, func(m filestore.MachineID) bool { return r.has(m) || r.vacant[m] })
}

// mayDropOld: the very joint record that the view stands for is accepted by a
// majority of each list.
func (r *Round) mayDropOld() bool {
	return r.best != nil && r.best.Voters.Equal(r.view.Voters) &&
		Quorum(r.view.Voters, func(m filestore.MachineID) bool {
			at, ok := r.granted[m]
			return ok && at == r.bestAt
		})
}

// apply puts the change, or the remembered result of an earlier attempt, into
// the proposal: Propose. Unknown when the history no longer reaches back far
// enough, Absent when the change comes to nothing.
func (r *Round) apply(c *Change, p *filestore.Record) Next {
	for _, h := range p.History {
		if h.Op == c.Op {
			r.result = h.Result
			return Propose
		}
	}
	if p.Changes > c.Base && p.Changes-c.Base > filestore.HistoryLen {
		return Unknown
	}
	var cur *filestore.Record
	if r.best != nil {
		value := *p
		cur = &value
	}
	next, result := c.Apply(cur)
	if result == 0 {
		return Absent
	}
	next.Name, next.Voters, next.Changes = r.name, p.Voters, max(p.Changes, c.Base)+1
	next.Branch, next.Seen, next.Conflicts = p.Branch, p.Seen, p.Conflicts
	next.History = append(slices.Clone(p.History), filestore.Change{Op: c.Op, Result: result})
	if n := len(next.History); n > filestore.HistoryLen {
		next.History = next.History[n-filestore.HistoryLen:]
	}
	*p, r.result = next, result
	return Propose
}

// Accept is the second message and the machines it goes to: the voters, and
// those who cease to be voters so that they learn of it. A take-over goes only to
// those whom it makes voters. A machine that accepts it votes no more in the branch
// before; if no voter of the new one has accepted it, that cannot go on either.
func (r *Round) Accept() (Accept, []filestore.MachineID) {
	to := filestore.Voters{Old: r.view.Voters.All(), New: r.proposal.Voters.All()}
	if r.task.Force {
		to = r.proposal.Voters
	}
	return Accept{Ballot: r.ballot, View: r.view, Record: r.proposal}, to.All()
}

// Create is the first and only message of a round whose ballot is fast, in place of
// Prepare and Accept: the record of a new name, and the machines it goes to, whose
// answers OnAccepted takes. The round comes to Chosen when all of them accept, and to
// Again once one does not. False when the task does not make a new record.
func (r *Round) Create() (Accept, []filestore.MachineID, bool) {
	if r.task.Change == nil || !r.view.Basis.IsZero() || r.propose() != Propose || r.result != filestore.ResultStored {
		return Accept{}, nil, false
	}
	m, to := r.Accept()
	return m, to, true
}

// OnAccepted takes a voter's answer to Accept: Wait, Chosen or Again. An acceptance
// counts only with the content. Once Chosen it stays so; later acceptances only add to Acceptors.
func (r *Round) OnAccepted(from filestore.MachineID, a Answer) Next {
	if !r.accepting {
		return Wait
	}
	if a.Status != OK || !a.Held && !r.proposal.Deleted {
		return r.refused(from, a)
	}
	r.granted[from] = a.Accepted
	if r.isChosen() {
		return Chosen
	}
	return Wait
}

// OnSilence notes that no answer will come from a machine.
func (r *Round) OnSilence(from filestore.MachineID) Next {
	return r.refused(from, Answer{Status: DontKnow})
}

// refused notes an answer that counts towards no quorum.
func (r *Round) refused(from filestore.MachineID, a Answer) Next {
	r.lost[from] = true
	if a.Status == DontKnow && a.Vacant {
		r.vacant[from] = true
	}
	if a.Promised.Compare(r.outbid) > 0 {
		r.outbid = a.Promised
	}
	if a.Status == Conflict {
		r.note(from, a)
		r.conflicted = true
	}
	if a.Status == OtherList && a.Record != nil && a.Accepted.Compare(r.learned.Basis) > 0 {
		r.learned = a.view()
	}
	return r.wanting()
}

// wanting is what to do without the answer of another machine, or with one more
// that is not enough.
func (r *Round) wanting() Next {
	switch {
	case r.accepting && r.isChosen():
		return Chosen
	case IsChosen(r.quorum, r.ballot, func(m filestore.MachineID) bool { return !r.lost[m] }):
		return Wait
	case r.mayCreate():
		return r.propose()
	case !r.accepting && len(r.vacant) > 0 && !r.Objected() && r.awaits():
		return Wait
	}
	return Again
}

// isChosen: as many have accepted as it takes.
func (r *Round) isChosen() bool { return IsChosen(r.quorum, r.ballot, r.has) }

// awaits: somebody has neither answered nor been given up.
func (r *Round) awaits() bool {
	return slices.ContainsFunc(r.quorum.All(), func(m filestore.MachineID) bool { return !r.has(m) && !r.lost[m] })
}

// Objected reports whether a machine has refused because of what it has promised
// or accepted to others.
func (r *Round) Objected() bool {
	return r.conflicted || r.outbid.Compare(r.ballot) > 0 || r.learned.Basis.Compare(r.view.Basis) > 0
}

func (r *Round) has(m filestore.MachineID) bool {
	_, ok := r.granted[m]
	return ok
}

// Acceptors are the machines that have promised or, after Propose, accepted.
func (r *Round) Acceptors() []filestore.MachineID {
	l := make([]filestore.MachineID, 0, len(r.granted))
	for m := range r.granted {
		l = append(l, m)
	}
	return l
}

// Clashes are the versions that have to be stored beside the name before a round
// that knows them as Kept can win.
func (r *Round) Clashes() []Met { return r.clashes }

// Met are the records that the task brought, those that came with promises, and
// those for whose sake Accept was refused.
func (r *Round) Met() []Met { return r.met }

// Conflicted reports whether a voter refused to accept because of what it has.
func (r *Round) Conflicted() bool { return r.conflicted }

// Proposal is the record that Accept carries, and its change's result.
func (r *Round) Proposal() (filestore.Record, filestore.Result) { return r.proposal, r.result }

// Moved reports whether the chosen record completes the move to the target.
func (r *Round) Moved() bool {
	v := r.proposal.Voters
	return r.accepting && !v.Joint() && (r.task.Target == nil || sameSet(v.New, r.task.Target))
}

// ChosenView is the view that the chosen record stands for.
func (r *Round) ChosenView() View { return ViewOf(&r.proposal, r.ballot) }

// Learned is the most recent view heard of: the round's own, or that of a
// voter that refused because of its list.
func (r *Round) Learned() View { return r.learned }

// Outbid is the greatest ballot that a voter refused this one for.
func (r *Round) Outbid() filestore.Ballot { return r.outbid }

func sameSet(a, b []filestore.MachineID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(m filestore.MachineID) bool { return !contains(b, m) })
}
