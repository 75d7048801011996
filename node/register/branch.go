package register

import (
	"crypto/sha256"
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
)

// Met is a record as some machine has it.
type Met struct {
	From   filestore.MachineID
	Record *filestore.Record
	At     filestore.Ballot // it was accepted under
	Held   bool             // its content is durable there
}

// branchOf names the branch that begins when a list of voters follows from a
// record of another branch without the majority of that; from none when a name
// is created. Whoever begins the same names it alike.
func branchOf(from filestore.Branch, base filestore.Ballot, voters []filestore.MachineID) filestore.Branch {
	h := sha256.New()
	h.Write([]byte("dhtfs branch 1"))
	h.Write(from[:])
	var counter [8]byte
	for i := range counter {
		counter[i] = byte(base.Counter >> (8 * i))
	}
	h.Write(counter[:])
	h.Write(base.Machine[:])
	for _, m := range (filestore.Voters{New: voters}).All() {
		h.Write(m[:])
	}
	return filestore.Branch(h.Sum(nil)[:len(filestore.Branch{})])
}

// Supersedes reports whether a record takes account of another one that was
// accepted under a lower ballot: it remembers the operation, or is of the branch or
// has seen it, and has seen all that the other one has. In one branch, what was chosen
// is followed by all that comes after it, and what was not is nobody's. But whoever
// accepted that may have given up another branch's version for it.
func Supersedes(next, old *filestore.Record, at filestore.Ballot) bool {
	return next.Op == old.Op || next.Remembers(old.Op) ||
		hasSeen(next, filestore.Seen{Branch: old.Branch, UpTo: at}) &&
			!slices.ContainsFunc(old.Seen, func(s filestore.Seen) bool { return !hasSeen(next, s) })
}

// hasSeen reports whether a record is of a branch, or has seen as much of it.
func hasSeen(rec *filestore.Record, much filestore.Seen) bool {
	return rec.Branch == much.Branch || slices.ContainsFunc(rec.Seen, func(s filestore.Seen) bool {
		return s.Branch == much.Branch && much.UpTo.Compare(s.UpTo) <= 0
	})
}

// Parted reports whether a record takes account of another one's branch, but only up
// to a ballot before that which the other one was accepted under: whoever took the name
// over did not know the other one.
func Parted(next, old *filestore.Record, at filestore.Ballot) bool {
	return !Supersedes(next, old, at) && slices.ContainsFunc(next.Seen, func(s filestore.Seen) bool {
		return s.Branch == old.Branch && s.UpTo.Compare(at) < 0
	})
}

// OnReturn is what a voter with doubts answers to a record that takes the place of the
// one it has: true with Conflict, for one that parted from its own before that. What it
// has was not deleted and forgotten then, and it keeps its content for others to take
// account of.
func OnReturn(r filestore.Register, next *filestore.Record) (Answer, bool) {
	if !r.Held || !Parted(next, r.Record, r.Accepted) || r.Record.SameContent(next) {
		return Answer{}, false
	}
	return answer(Conflict, r), true
}

// stands reports whether a register has a version that would be lost if next
// took its place: content that is held here, or a delete of what next holds.
// Content that is not held is others' to keep.
func stands(r filestore.Register, next *filestore.Record) bool {
	switch {
	case r.Record == nil || Supersedes(next, r.Record, r.Accepted):
		return false
	case r.Record.Deleted:
		return r.Record.Remembers(next.Op)
	}
	return r.Held && !r.Record.SameContent(next)
}

// takeAccount puts into p, which is about to be proposed, what follows from
// records that it does not supersede, and returns those that have to be stored beside
// the name first. Of two versions of which one follows from the other, that one
// is the value. Of two of which neither does, p's: no voter promises to a view
// when it has accepted a greater ballot in another branch.
func takeAccount(p *filestore.Record, met []Met, kept []filestore.OpID) (clashes []Met) {
	met = slices.Clone(met)
	slices.SortStableFunc(met, func(a, b Met) int { return b.At.Compare(a.At) })
	for _, m := range met {
		o := m.Record
		if Supersedes(p, o, m.At) || !o.Deleted && !m.Held {
			continue
		}
		switch {
		case o.Remembers(p.Op):
			value := *o
			value.Voters, value.Branch, value.Seen, value.Conflicts = p.Voters, p.Branch, p.Seen, p.Conflicts
			value.Changes, value.History, value.Forced = p.Changes, p.History, p.Forced
			*p = value
		case p.SameContent(o), p.Deleted && o.Deleted:
		case o.Deleted:
			continue // it loses, and leaves nothing to be kept
		case slices.Contains(kept, o.Op):
			p.Conflicts = last(append(slices.Clone(p.Conflicts), o.Op), filestore.MaxSeen)
		default:
			clashes = append(clashes, m)
			continue
		}
		fold(p, o, m.At)
	}
	return clashes
}

// fold remembers another branch, and its changes so that none of them is
// carried out again. The counter grows by at least as many as are remembered, and
// each change took it beyond its base: so an operation that is forgotten is older
// than the history can tell.
func fold(p, o *filestore.Record, at filestore.Ballot) {
	see(p, append(slices.Clone(o.Seen), filestore.Seen{Branch: o.Branch, UpTo: at})...)
	history := slices.Clone(p.History)
	for _, c := range o.History {
		if !p.Remembers(c.Op) {
			history = append(history, c)
		}
	}
	p.Changes = max(p.Changes, o.Changes) + uint64(len(history)-len(p.History))
	p.History = last(history, filestore.HistoryLen)
	for _, op := range o.Conflicts {
		if !slices.Contains(p.Conflicts, op) {
			p.Conflicts = last(append(slices.Clone(p.Conflicts), op), filestore.MaxSeen)
		}
	}
}

// see remembers branches up to ballots, the latest last.
func see(p *filestore.Record, branches ...filestore.Seen) {
	for _, s := range branches {
		if s.Branch == p.Branch {
			continue
		}
		seen := slices.Clone(p.Seen)
		if i := slices.IndexFunc(seen, func(x filestore.Seen) bool { return x.Branch == s.Branch }); i >= 0 {
			if seen[i].UpTo.Compare(s.UpTo) > 0 {
				s.UpTo = seen[i].UpTo
			}
			seen = slices.Delete(seen, i, i+1)
		}
		p.Seen = last(append(seen, s), filestore.MaxSeen)
	}
}

// last is the end of a list, n long at most.
func last[T any](l []T, n int) []T { return l[max(0, len(l)-n):] }

// note remembers what a machine has.
func (r *Round) note(from filestore.MachineID, a Answer) {
	if a.Record != nil {
		r.met = append(r.met, Met{From: from, Record: a.Record, At: a.Accepted, Held: a.Held})
	}
}
