package node

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Taking over: a name of whose voters a majority does not answer can be fetched,
// unconfirmed, and not changed. When that has lasted for Timing.TakeOver, those
// of its group that are there become its voters without the others' consent.
//
// States of a name, as a repairing node sees it: it answers; it has not answered
// since some moment; it was taken over. What holds throughout:
//
//   - Only a side with W live machines takes over, and less than a majority of a
//     group never votes alone: one machine cut off from two others changes nothing.
//   - A take-over is a round like any other among the new voters, under a ballot
//     greater than all they have promised, with the newest record that the
//     survivors have. Of several at once, those with the same voters and the same
//     record agree as in any round; others are different branches.
//   - What somebody without a vote has kept, and no voter has, may be long outdated.
//     It is taken over only when no voter is a member any more, and so none comes
//     back with what was decided since.
//   - The record says that it was forced, and which branch it follows from up to
//     which ballot. What the old voters decided later is not covered by that, so
//     that nobody gives it up when they come back: it is the newer version, or is
//     stored beside the name.

// unanswered remembers since when a majority of a name's voters has not answered.
// It may be used concurrently.
type unanswered struct {
	mu    sync.Mutex
	names map[string]unansweredName
}

// unansweredName is one name: seen so first and last.
type unansweredName struct{ since, last time.Time }

// unansweredGap is how long after the last look a name counts as not looked at.
const unansweredGap = 3 * time.Minute

// note notes that a majority does not answer and returns for how long it has not.
func (s *unanswered) note(name string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e, known := s.names[name]
	if !known || now.Sub(e.last) > unansweredGap {
		e.since = now
	}
	e.last = now
	s.names[name] = e
	return now.Sub(e.since)
}

// end notes that a majority answers.
func (s *unanswered) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
}

// list are the names that a majority has not answered for when last asked.
func (s *unanswered) list() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.names {
		if time.Since(e.last) <= unansweredGap {
			names = append(names, name)
		}
	}
	return names
}

// unchangeable counts the files here of which most voters have not been heard since
// they did not answer.
func (n *Node) unchangeable() (files int) {
	for _, name := range n.repair.unanswered.list() {
		r, err := n.store.Register(name)
		if err == nil && r.Held && !register.Quorum(r.Record.Voters, n.ring.Alive) {
			files++
		}
	}
	return files
}

// warnOfAbsence tells what cannot be said or done because of machines that are away.
func (n *Node) warnOfAbsence() (warnings []string) {
	switch files := n.unchangeable(); {
	case files == 1:
		warnings = append(warnings, "1 file kept here cannot be changed for now: most of the nodes that keep it do not answer")
	case files > 1:
		warnings = append(warnings, fmt.Sprintf("%d files kept here cannot be changed for now: most of the nodes that keep them do not answer", files))
	}
	if n.authority.hasVacant() {
		warnings = append(warnings, "all nodes that knew a part of the ring are away: names that are not found there may come back with them")
	}
	return warnings
}

// next is how long it is until the first name has been silent for so long; false
// when none is on the way there.
func (s *unanswered) next(limit time.Duration) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.names, func(_ string, e unansweredName) bool { return now.Sub(e.last) > unansweredGap })
	var first time.Time
	for _, e := range s.names {
		if due := e.since.Add(limit); due.After(now) && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	return first.Sub(now), !first.IsZero()
}

// worthAsking reports whether a name's voters may agree on something, or have
// been silent for so long that it can be taken over.
func (n *Node) worthAsking(name string, v filestore.Voters) bool {
	return n.mayAgree(v) || n.repair.unanswered.note(name) >= n.cfg.Timing.TakeOver
}

// orphaned reports whether no voter is a member any more.
func (n *Node) orphaned(v filestore.Voters) bool {
	return !slices.ContainsFunc(v.All(), n.members.has)
}

// takeOver makes the live machines of a name's group its voters, without a
// majority of those there are, if it has been silent for long enough. f is the
// newest that the survivors have.
func (n *Node) takeOver(ctx context.Context, name string, f found) (moved bool, err error) {
	if n.repair.unanswered.note(name) < n.cfg.Timing.TakeOver {
		return false, ErrUnavailable
	}
	if f.kept && !f.survivor && !n.orphaned(f.view.Voters) {
		return false, ErrUnavailable // a voter may come back
	}
	p, err := n.place(ctx, chord.KeyOf(name))
	if err != nil {
		return false, err
	}
	target := slices.DeleteFunc(machinesOf(p.group()), func(m MachineID) bool { return !n.members.counts(m) })
	slices.SortFunc(target, func(a, b MachineID) int { return bytes.Compare(a[:], b[:]) })
	if len(target) < n.quorum(n.want()) {
		return false, ErrUnavailable
	}
	task := register.Task{Target: target, Force: true}
	if f.kept {
		task.Known = register.Met{Record: f.record, At: f.view.Basis}
	}
	moved, err = n.repairChange(ctx, name, f, target, task)
	if err == nil {
		n.repair.unanswered.end(name)
		n.log.Warn("took over a file without a majority of those that kept it", "name", name)
	}
	return moved, err
}
