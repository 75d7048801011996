package register_test

import (
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

const maxAttempts = 9

// job is a coordinator's work on one operation, one move of the voters, or,
// with neither, one repair: as many rounds as it takes.
type job struct {
	w        *world
	at       *machine
	life     int // of the machine when it began
	op       *operation
	target   []filestore.MachineID
	force    bool // take over, without a majority of the voters there are
	met      []register.Met
	kept     []filestore.OpID
	attempts int
	phase    int // answers to an earlier one are dropped
	applied  bool
	done     bool
}

func (j *job) begin() {
	if j.attempts++; j.attempts > maxAttempts {
		j.done = true
		return
	}
	v := j.at.currentView()
	switch {
	case j.force:
		if j.at.disk.Record == nil {
			j.done = true
			return
		}
		j.prepare(viewOf(j.at.disk.Record, j.at.disk.Accepted))
	case j.op == nil && j.target != nil && !v.Voters.Joint() && slices.Equal(v.Voters.New, j.target):
		j.done = true
	case j.op != nil && j.op.kind == get && j.attempts <= 2:
		j.read(v)
	default:
		j.prepare(v)
	}
}

// ask begins a phase: voter's answers go to take, and the machines that
// answer too late to miss.
func (j *job) ask(to []filestore.MachineID, voter func(*machine) register.Answer,
	take func(filestore.MachineID, register.Answer), miss func(filestore.MachineID)) {
	j.phase++
	phase := j.phase
	current := func() bool { return j.phase == phase && j.life == j.at.life && !j.done }
	waiting := map[filestore.MachineID]bool{}
	for _, m := range to {
		waiting[m] = true
		peer := j.w.machine(m)
		j.w.send(j.at, peer, func() {
			a := voter(peer)
			j.w.send(peer, j.at, func() {
				if current() {
					delete(waiting, m)
					take(m, a)
				}
			})
		})
	}
	j.w.after(60+j.w.Int64N(200), func() {
		for _, m := range to {
			if current() && waiting[m] {
				miss(m)
			}
		}
	})
}

func (j *job) prepare(v register.View) {
	j.applied = false
	task := register.Task{Target: j.target, Force: j.force, Met: j.met, Kept: j.kept}
	if rec := j.at.disk.Record; j.force && !rec.Voters.Contains(j.at.id) { // perhaps nobody else has it
		task.Known = register.Met{From: j.at.id, Record: rec, At: j.at.disk.Accepted}
	}
	if j.op != nil && j.op.kind != get {
		task.Change = &register.Change{Op: j.op.id(), Base: j.op.base, Apply: func(cur *filestore.Record) (filestore.Record, filestore.Result) {
			j.applied = true
			return j.op.apply(cur)
		}}
	}
	b := j.at.nextBallot()
	if b.Fast = v.Basis.IsZero() && j.w.IntN(3) > 0; b.Fast {
		r := register.NewRound(registerName, b, v, task)
		if msg, to, ok := r.Create(); ok {
			j.w.creations++
			j.propose(r, msg, to)
			return
		}
		b = j.at.nextBallot()
	}
	r := register.NewRound(registerName, b, v, task)
	msg, to := r.Prepare()
	j.ask(to, func(m *machine) register.Answer { return m.prepare(msg) },
		func(from filestore.MachineID, a register.Answer) { j.follow(r, r.OnPromise(from, a)) },
		func(from filestore.MachineID) { j.follow(r, r.OnSilence(from)) })
}

func (j *job) accept(r *register.Round) {
	msg, to := r.Accept()
	j.w.rules.propose(&msg)
	if _, result := r.Proposal(); j.op != nil && j.w.rules.early(j.op, result, j.applied) {
		j.finish(&msg.Record, result)
		return
	}
	j.propose(r, msg, to)
}

func (j *job) propose(r *register.Round, msg register.Accept, to []filestore.MachineID) {
	j.ask(to, func(m *machine) register.Answer { return m.accept(msg) },
		func(from filestore.MachineID, a register.Answer) { j.settle(r, msg, r.OnAccepted(from, a)) },
		func(from filestore.MachineID) { j.settle(r, msg, r.OnSilence(from)) })
}

// follow does what the round says while it prepares.
func (j *job) follow(r *register.Round, next register.Next) {
	switch next {
	case register.Propose:
		j.accept(r)
	case register.Unknown:
		j.done = true
		j.op.giveUp()
	case register.Absent:
		if j.op != nil {
			j.finish(nil, 0)
		}
		j.done = true
	case register.Clash:
		j.keepBeside(r)
	case register.Again:
		j.again(r)
	}
}

// settle does what the round says once it has proposed.
func (j *job) settle(r *register.Round, msg register.Accept, next register.Next) {
	switch next {
	case register.Again:
		j.again(r)
	case register.Chosen:
		if msg.Ballot.Fast {
			j.w.created++
			for _, m := range j.w.machines {
				j.w.send(j.at, m, func() { m.hear(msg.Ballot) })
			}
		}
		j.w.chosen.claim(j.w, msg.Ballot)
		j.w.forks.chosen(&msg.Record)
		j.at.learn(viewOf(&msg.Record, msg.Ballot))
		j.at.learnChosen(msg.Record, msg.Ballot)
		_, result := r.Proposal()
		switch {
		case j.op == nil && r.Conflicted():
			j.again(r)
		case j.op != nil:
			j.finish(&msg.Record, result)
		case j.target == nil:
			j.done = true
		case r.Moved():
			j.w.moves++
			j.done = true
		default: // a step on the way
			j.attempts = 0
			j.begin()
		}
	}
}

// again prepares for another round, now and then under another view than the
// newest: that one may never have been chosen, and its voters be gone.
func (j *job) again(r *register.Round) {
	if r.Conflicted() {
		j.met = r.Met()
	}
	if r.Learned().Basis.Compare(j.at.disk.Accepted) > 0 {
		j.force = false // others have taken over
	}
	j.at.learn(r.Learned())
	if j.w.IntN(10) == 0 {
		j.at.forgetView()
	}
	j.at.counter = max(j.at.counter, r.Outbid().Counter)
	j.pause()
}

// pause begins anew after a random while.
func (j *job) pause() {
	j.phase++
	phase := j.phase
	j.w.after(1+j.w.Int64N(40), func() {
		if j.phase == phase && j.life == j.at.life {
			j.begin()
		}
	})
}

// read tries to answer in one round.
func (j *job) read(v register.View) {
	r := register.NewReading(v)
	follow := func(verdict register.Verdict) {
		rec, _ := r.Record()
		switch verdict {
		case register.Decided:
			j.w.oneRoundReads++
			j.finish(rec, 0)
		case register.Undecided:
			j.attempts = max(j.attempts, 2)
			j.begin()
		case register.Stale, register.Silent:
			j.at.learn(r.Learned())
			j.pause()
		}
	}
	j.ask(r.To(), (*machine).read,
		func(from filestore.MachineID, a register.Answer) {
			follow(r.OnAnswer(from, j.w.rules.hear(v, a)))
		},
		func(from filestore.MachineID) { follow(r.OnSilence(from)) })
}

// finish answers the client. rec is nil when the name was never stored.
func (j *job) finish(rec *filestore.Record, result filestore.Result) {
	j.done = true
	j.w.logf("%d answers %v with value %d, result %d", j.at.id[0]-1, j.op, value(rec), result)
	var changes uint64
	if rec != nil {
		changes = rec.Changes
	}
	if !j.w.chance(j.w.loss) {
		j.w.after(j.w.delay(), func() { j.op.answered(value(rec), result, changes) })
	}
}
