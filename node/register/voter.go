package register

import "github.com/dhtfs/dhtfs/filestore"

// Knowledge is what a voter can say about a name that it has no record of.
type Knowledge uint8

const (
	// Ignorant: the voter may have missed the name and must not say that
	// there is none.
	Ignorant Knowledge = iota
	// Missed: the voter had all names of the range before it heard of this one
	// from others. It has never accepted a record of it, and knows that there is one.
	Missed
	// Authoritative: the voter has all names of the key's range, so that
	// having no record means that there is none.
	Authoritative
	// Vacant: nobody who answers has known the range for long. Whether there is a
	// record remains unknown, but a name may be created: if it turns out that there
	// was one, the two are different branches.
	Vacant
)

// OnRead answers a read. It changes nothing.
func OnRead(r filestore.Register, k Knowledge) Answer {
	a := answer(OK, r)
	if r.Record == nil && k != Authoritative {
		a.Status, a.Vacant = DontKnow, k == Vacant
	}
	return a
}

// OnPrepare is a voter's answer to Prepare and its register afterwards, which
// must be durable before the answer leaves. A repeated Prepare gets the same
// promise again unless its ballot was accepted meanwhile.
//
// A voter that answers DontKnow has promised all the same: its word counts for
// nothing while the coordinator finds out what was accepted before, but it may
// accept what comes of it, and so obtain a record that it missed.
func OnPrepare(self filestore.MachineID, r filestore.Register, m Prepare, k Knowledge) (filestore.Register, Answer) {
	switch {
	case otherList(r, m.View):
		return r, answer(OtherList, r)
	case m.Ballot.Fast, m.Ballot.Compare(r.Promised) < 0,
		m.Ballot.Compare(r.Promised) == 0 && r.Accepted.Compare(m.Ballot) >= 0:
		return r, answer(Outbid, r)
	}
	r.Promised = m.Ballot
	if r.Record == nil && k != Authoritative && !m.joins(self) && !m.missedBy(self, k) {
		a := answer(DontKnow, r)
		a.Vacant = k == Vacant && m.View.Basis.IsZero()
		return r, a
	}
	return r, answer(OK, r)
}

// Forgotten is the answer to Prepare of a voter whose registers were lost, to a ballot that
// it may have promised not to take: of those that it ever promised, none had a counter
// above floor. False: it has forgotten nothing that matters to this ballot. A fast ballot
// needs no such care: it takes all voters, and whoever has a majority's promises has one
// of a voter that has not forgotten it.
func Forgotten(floor uint64, r filestore.Register, m Prepare) (Answer, bool) {
	if m.Ballot.Counter > floor {
		return Answer{}, false
	}
	a := answer(Outbid, r)
	a.Promised.Counter = max(a.Promised.Counter, floor)
	return a, true
}

// missedBy: the name exists, the machine is its voter, and it is certain that it
// never accepted anything: its promise counts.
func (m Prepare) missedBy(self filestore.MachineID, k Knowledge) bool {
	return k == Missed && !m.View.Basis.IsZero() && m.View.Voters.Contains(self)
}

// OnAccept is a voter's answer to Accept and its register afterwards, which
// must be durable before the answer leaves. holds says whether the record's
// content is durable at the voter; a tombstone needs none. A voter accepts
// only what it promised: exactly that ballot, no greater one and no smaller. And
// it gives up no version that the record takes no account of, see Supersedes.
func OnAccept(r filestore.Register, m Accept, holds bool) (filestore.Register, Answer) {
	switch {
	case r.Record != nil && r.Accepted == m.Ballot:
		return onRepeated(r, holds)
	case otherList(r, m.View):
		return r, answer(OtherList, r)
	case r.Promised != m.Ballot:
		return r, answer(Outbid, r)
	case stands(r, &m.Record):
		return r, answer(Conflict, r)
	case !holds && !m.Record.Deleted:
		return r, answer(NoContent, r)
	}
	rec := m.Record
	r.Accepted, r.Record, r.Held = m.Ballot, &rec, !rec.Deleted
	return r, Answer{Status: OK, Promised: r.Promised, Accepted: r.Accepted, Held: r.Held}
}

// onRepeated answers a message that the voter has accepted before. It may have found
// only then that the content is not there any more: who asks is to send it again.
func onRepeated(r filestore.Register, holds bool) (filestore.Register, Answer) {
	r.Held = r.Held || holds && !r.Record.Deleted
	if !r.Held && !r.Record.Deleted {
		return r, answer(NoContent, r)
	}
	return r, answer(OK, r)
}

// OnCreate is OnAccept for a fast ballot, which nobody has prepared: the voter takes
// it as if it had been asked to promise it before, and had answered that there is no
// record. So it has to know that, and to have promised nothing to others.
func OnCreate(r filestore.Register, m Accept, k Knowledge, holds bool) (filestore.Register, Answer) {
	switch {
	case r.Record != nil && r.Accepted == m.Ballot:
		return onRepeated(r, false)
	case !m.Ballot.Fast || r.Record != nil || !r.Promised.IsZero():
		return r, answer(Outbid, r)
	case k != Authoritative:
		return r, answer(DontKnow, r)
	case !holds:
		return r, answer(NoContent, r)
	}
	r.Promised = m.Ballot
	return OnAccept(r, m, holds)
}

// OnChosen is the register of a machine that learns of a chosen record which
// does not name it as a voter. A machine that was one and missed the end of a
// move would otherwise take itself for one for ever. A version that the record
// takes no account of stays: the register is returned as it was.
func OnChosen(self filestore.MachineID, r filestore.Register, at filestore.Ballot, rec filestore.Record) filestore.Register {
	if rec.Voters.Contains(self) || r.Accepted.Compare(at) >= 0 || stands(r, &rec) {
		return r
	}
	if r.Promised.Compare(at) < 0 {
		r.Promised = at
	}
	r.Accepted, r.Record, r.Held = at, &rec, false
	return r
}

// otherList: the voter has accepted a greater ballot than the view knows of,
// under another list or in another branch.
func otherList(r filestore.Register, v View) bool {
	return r.Record != nil && r.Accepted.Compare(v.Basis) > 0 && v.differs(r.Record)
}

func answer(s Status, r filestore.Register) Answer {
	return Answer{Status: s, Promised: r.Promised, Accepted: r.Accepted, Record: r.Record, Held: r.Held}
}
