package register

import "github.com/dhtfs/dhtfs/filestore"

// Reading is a read in one round: everybody under the view is asked for what
// they have. It is not safe for concurrent use.
type Reading struct {
	view    View
	to      []filestore.MachineID
	need    int     // machines that must agree, where that is more than a majority
	heard   []heard // of each of to, in that order, then of others
	learned View
	newest  Answer
	chosen  filestore.Ballot // fast, and somebody has heard that it was
}

// heard is what came from a machine: an answer, or that none will come.
type heard struct {
	from           filestore.MachineID
	answered, lost bool
	answer         Answer
}

// Verdict is what a read knows so far.
type Verdict uint8

// The verdicts of a read.
const (
	Open      Verdict = iota // ask on
	Decided                  // Record is chosen; nil: a majority knows that there is none
	Undecided                // one round cannot tell: finish with a Change that keeps the value
	Stale                    // the view is outdated: read again under Learned
	Silent                   // too few answered under this view
)

// NewReading begins a read under v.
func NewReading(v View) *Reading {
	r := &Reading{view: v, learned: v, to: v.Voters.All()}
	r.heard = make([]heard, len(r.to))
	for i, m := range r.to {
		r.heard[i].from = m
	}
	return r
}

// of is what came from a machine.
func (r *Reading) of(m filestore.MachineID) *heard {
	for i := range r.heard {
		if r.heard[i].from == m {
			return &r.heard[i]
		}
	}
	r.heard = append(r.heard, heard{from: m})
	return &r.heard[len(r.heard)-1]
}

// Require has so many machines agree, where that is more than a majority.
func (r *Reading) Require(machines int) { r.need = machines }

// agreed reports whether machines of which something holds are as many as it takes:
// for a record, under the ballot that it was accepted under.
func (r *Reading) agreed(at filestore.Ballot, holds func(Answer) bool) bool {
	has := func(h *heard) bool { return h.answered && holds(h.answer) }
	count := 0
	for i := range r.to {
		if has(&r.heard[i]) {
			count++
		}
	}
	return count >= r.need && IsChosen(r.view.Voters, at, func(m filestore.MachineID) bool { return has(r.of(m)) })
}

// To are the machines to be asked.
func (r *Reading) To() []filestore.MachineID { return r.to }

// OnAnswer takes a voter's answer.
func (r *Reading) OnAnswer(from filestore.MachineID, a Answer) Verdict {
	h := r.of(from)
	h.answered, h.answer = true, a
	if a.Record != nil {
		if a.Chosen {
			r.chosen = a.Accepted
		}
		if a.Accepted.Compare(r.newest.Accepted) > 0 {
			r.newest = a
		}
		if a.Accepted.Compare(r.learned.Basis) > 0 && r.view.differs(a.Record) {
			r.learned = a.view()
		}
	}
	return r.verdict()
}

// OnSilence notes that no answer will come from a machine.
func (r *Reading) OnSilence(from filestore.MachineID) Verdict {
	r.of(from).lost = true
	return r.verdict()
}

func (r *Reading) verdict() Verdict {
	if r.agreed(filestore.Ballot{}, func(a Answer) bool { return a.Status == OK && a.Record == nil }) {
		r.newest = Answer{}
		return Decided
	}
	at := r.newest.Accepted
	if at == r.chosen {
		at = filestore.Ballot{} // a majority is enough to know that nothing has come after it
	}
	if r.newest.Record != nil && r.agreed(at, func(a Answer) bool {
		return a.Record != nil && a.Accepted == r.newest.Accepted &&
			a.Promised.Compare(a.Accepted) <= 0 && a.Record.Voters.Equal(r.view.Voters)
	}) {
		return Decided
	}
	ended := 0
	for i := range r.heard {
		if r.heard[i].answered || r.heard[i].lost {
			ended++
		}
	}
	if ended < len(r.to) {
		return Open
	}
	switch {
	case r.learned.Basis.Compare(r.view.Basis) > 0:
		return Stale
	case r.Enough():
		return Undecided
	}
	return Silent
}

// Enough reports whether as many have answered as it takes, whatever they said.
func (r *Reading) Enough() bool {
	return r.agreed(filestore.Ballot{}, func(a Answer) bool { return a.Status == OK })
}

// Vacant reports whether a majority answers, has no record, and is not to know of
// one: those who knew the name's range are away.
func (r *Reading) Vacant() bool {
	return r.newest.Record == nil && r.agreed(filestore.Ballot{}, func(a Answer) bool { return a.Status == OK || a.Vacant })
}

// Record is the newest record seen, and the ballot it was accepted under; after
// Decided it is the chosen one.
func (r *Reading) Record() (*filestore.Record, filestore.Ballot) {
	return r.newest.Record, r.newest.Accepted
}

// Holders are the machines that answered with the newest record and hold its content.
func (r *Reading) Holders() []filestore.MachineID {
	var l []filestore.MachineID
	for i, m := range r.to {
		if a := &r.heard[i].answer; a.Held && a.Record != nil && r.newest.Record != nil &&
			a.Record.SHA256 == r.newest.Record.SHA256 {
			l = append(l, m)
		}
	}
	return l
}

// Learned is the most recent view heard of.
func (r *Reading) Learned() View { return r.learned }
