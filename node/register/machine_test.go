package register_test

import (
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// machine is a voter and a coordinator. Its disk and its ballot counter
// outlive a crash.
type machine struct {
	w         *world
	id        filestore.MachineID
	knowledge register.Knowledge

	disk    filestore.Register
	counter uint64 // of the last ballot used or heard of

	up    bool
	life  int           // how often it crashed: work of an earlier life is forgotten
	lost  int           // how often it lost its disk
	floor uint64        // of what it may have promised before that
	view  register.View // the most recent one heard of
	ring  []filestore.MachineID

	settled map[filestore.Ballot]bool // fast ballots of which it has heard that they won
}

func newMachine(w *world, n int) *machine {
	m := &machine{w: w, id: id(n), up: true, ring: w.first}
	if slices.Contains(w.first, m.id) {
		m.knowledge = register.Authoritative
	}
	m.view.Voters.New = w.first
	return m
}

// crash loses everything that is not on the disk.
func (m *machine) crash() {
	m.w.logf("%d crashes", m.id[0]-1)
	m.up = false
	m.life++
	m.forgetView()
}

// forgetView has the machine start from its own record, or else from a group
// that it believes in.
func (m *machine) forgetView() {
	m.view = register.View{Voters: filestore.Voters{New: m.w.first}}
	if m.w.IntN(2) == 0 {
		m.view.Voters.New = m.ring
	}
}

// ringChanged tells the machine of the name's group.
func (m *machine) ringChanged(group []filestore.MachineID) {
	m.ring = group
	if m.w.IntN(3) == 0 {
		m.work(&job{target: group})
	}
}

func (m *machine) prepare(p register.Prepare) register.Answer {
	if a, forgotten := m.w.rules.forgotten(m.floor, m.disk, p); forgotten {
		return a
	}
	before := m.disk.Promised
	var a register.Answer
	m.disk, a = m.w.rules.prepare(m.id, m.disk, p, m.knowledge)
	if m.disk.Promised != before {
		m.w.logf("%d promises %v to view %s/%v, has %v", m.id[0]-1, p.Ballot, list(p.View.Voters), p.View.Basis, m.disk.Accepted)
	}
	return a
}

func (m *machine) accept(acc register.Accept) register.Answer {
	before := m.disk.Accepted
	var a register.Answer
	if holds := m.w.chance(m.w.content); acc.Ballot.Fast {
		m.disk, a = m.w.rules.create(m.disk, acc, m.knowledge, holds)
	} else {
		m.disk, a = m.w.rules.accept(m.disk, acc, holds)
	}
	if m.disk.Accepted != before {
		m.w.logf("%d accepts %v: value %d, voters %s, %v", m.id[0]-1, acc.Ballot, value(m.disk.Record), list(m.disk.Record.Voters), m.disk.Record.Signature)
		m.w.forks.accepted(m.disk.Record)
		m.w.chosen.accepted(m.w, m.id, m.disk.Accepted, m.disk.Record)
	}
	return a
}

// learnChosen has the machine remember a record that does not name it as a voter.
// A version here that the record takes no account of goes into another round.
func (m *machine) learnChosen(rec filestore.Record, at filestore.Ballot) {
	if m.disk.Record == nil || m.disk.Accepted.Compare(at) >= 0 || rec.Voters.Contains(m.id) {
		return
	}
	own := m.disk
	if m.disk = m.w.rules.learn(m.id, m.disk, at, rec); m.disk.Accepted != own.Accepted {
		m.w.logf("%d learns %v: value %d, voters %s", m.id[0]-1, at, value(&rec), list(rec.Voters))
		return
	}
	m.work(&job{met: []register.Met{{From: m.id, Record: own.Record, At: own.Accepted, Held: own.Held}}})
}

func (m *machine) read() register.Answer {
	a := register.OnRead(m.disk, m.knowledge)
	a.Chosen = m.disk.Accepted.Fast && m.settled[m.disk.Accepted]
	return a
}

// nextBallot is greater than all that the machine has used or heard of.
func (m *machine) nextBallot() filestore.Ballot {
	m.counter = max(m.counter, m.disk.Promised.Counter) + 1
	return filestore.Ballot{Counter: m.counter, Machine: m.id}
}

// learn keeps the more recent of two views.
func (m *machine) learn(v register.View) {
	if v.Basis.Compare(m.view.Basis) > 0 {
		m.view = v
	}
}

// currentView is where the machine's next round goes.
func (m *machine) currentView() register.View {
	if m.disk.Record != nil {
		m.learn(viewOf(m.disk.Record, m.disk.Accepted))
	}
	return m.view
}

// work begins a job here, unless the machine is down.
func (m *machine) work(j *job) {
	if m.up {
		j.w, j.at, j.life = m.w, m, m.life
		j.begin()
	}
}

// hear has the machine know that a fast ballot has won.
func (m *machine) hear(b filestore.Ballot) {
	if m.settled == nil {
		m.settled = map[filestore.Ballot]bool{}
	}
	m.settled[b] = true
}
