package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Conflicts: a name has two versions, neither of which follows from the other,
// when both sides of a split stored something under it, or when its voters were
// replaced without their majority. Where they meet, the one accepted under the
// greater ballot keeps the name. Before any voter gives up the other it is stored
// under a name of its own, by an operation that follows from the one which stored
// it: however many machines do so at once, they make one copy.

// conflictDigits are how many hex digits of the operation a conflict copy's name
// has; the next more where another file has that name.
var conflictDigits = []int{8, 16, 32}

// conflictName is the name of the conflict copy of what an operation stored under
// a name. Where that would be too long the end of the name is left out.
func conflictName(name string, op filestore.OpID, digits int) string {
	suffix := " (conflict " + op.String()[:digits] + ")"
	cut := name[:min(len(name), filestore.MaxName-len(suffix))]
	if cut != name {
		for !utf8.ValidString(cut) {
			cut = cut[:len(cut)-1]
		}
		cut = strings.TrimRight(cut, "/")
	}
	return cut + suffix
}

// conflictOp is the operation that makes a conflict copy.
func conflictOp(of *filestore.Record) filestore.OpID {
	h := sha256.New()
	h.Write([]byte("dhtfs conflict copy 1"))
	h.Write(of.Op[:])
	h.Write([]byte(of.Name))
	return filestore.OpID(h.Sum(nil)[:len(filestore.OpID{})])
}

// keepBeside stores versions that are to lose their name under names of their
// own, and returns their operations once all are durable there.
func (n *Node) keepBeside(ctx context.Context, losers []register.Met) ([]filestore.OpID, error) {
	var kept []filestore.OpID
	for _, m := range losers {
		if slices.Contains(kept, m.Record.Op) {
			continue
		}
		if err := n.storeBeside(ctx, m); err != nil {
			n.log.Warn("cannot store a version that lost its name yet", "name", m.Record.Name, "op", m.Record.Op, "err", err)
			return nil, fmt.Errorf("%w: conflict copy: %w", ErrUnavailable, err)
		}
		kept = append(kept, m.Record.Op)
	}
	return kept, nil
}

func (n *Node) storeBeside(ctx context.Context, m register.Met) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyTimeout(m.Record.Size)+changeTimeout)
	defer cancel()
	for _, digits := range conflictDigits {
		name := conflictName(m.Record.Name, m.Record.Op, digits)
		err := n.storeConflict(ctx, name, m)
		if !errors.Is(err, ErrExists) {
			if err == nil {
				n.log.Warn("two versions of one name: one is kept beside it", "name", m.Record.Name, "copy", name)
			}
			return err
		}
	}
	return ErrExists
}

// storeConflict stores a version under a certain name. ErrExists: that is another
// file's.
func (n *Node) storeConflict(ctx context.Context, name string, m register.Met) error {
	rec := *m.Record.Clone()
	rec.Name, rec.Op = name, conflictOp(m.Record)
	rec.Origin = &filestore.Origin{Name: m.Record.Name, Op: m.Record.Op}
	if m.Record.Origin != nil { // the signature is still that on the first one
		rec.Origin = m.Record.Origin
	}
	rec.Voters, rec.Changes, rec.History, rec.Forced = filestore.Voters{}, 0, nil, false
	rec.Branch, rec.Seen, rec.Conflicts = filestore.Branch{}, nil, nil

	there, err := n.read(ctx, name)
	if err != nil && !errors.Is(err, ErrVacant) {
		return err
	}
	if err == nil && !there.confirmed {
		return ErrUnavailable
	}
	if there.record != nil && there.record.Remembers(rec.Op) {
		return nil // made before, and perhaps deleted since
	}
	if live := there.live(); live != nil && !live.SameContent(&rec) {
		return ErrExists
	}
	view, err := n.view(ctx, name)
	if err != nil {
		return err
	}
	holders := []MachineID{m.From}
	if err := n.spread(ctx, obtainRequest{Record: rec, Sources: n.rank(m.Record, holders), From: m.Record.Name}, view.Voters); err != nil {
		return err
	}
	apply := func(cur *filestore.Record) (filestore.Record, filestore.Result) {
		switch {
		case cur == nil || cur.Deleted:
			return rec, filestore.ResultStored
		case cur.SameContent(&rec):
			return *cur, filestore.ResultIdentical
		}
		return *cur, filestore.ResultExists
	}
	o, err := n.changeFrom(ctx, name, view, register.Task{Change: &register.Change{Op: rec.Op, Base: there.changes(), Apply: apply}}, forGrace)
	if err == nil && o.result == filestore.ResultExists {
		return ErrExists
	}
	return err
}

// conflictsOf are the names of the conflict copies of a file that there still are.
func (n *Node) conflictsOf(ctx context.Context, rec *filestore.Record) []string {
	answers := askEach(rec.Conflicts, func(op filestore.OpID) string {
		for _, digits := range conflictDigits {
			name := conflictName(rec.Name, op, digits)
			f, err := n.read(ctx, name)
			if err != nil {
				return ""
			}
			if live := f.live(); live != nil && live.Origin != nil && live.Origin.Op == op {
				return name
			}
		}
		return ""
	})
	return slices.DeleteFunc(answers, func(name string) bool { return name == "" })
}

// learnChosen has this node, where it does not vote on a chosen record and knows
// an older one, remember it. A version that is here and that the record takes no
// account of is taken account of first.
func (n *Node) learnChosen(ctx context.Context, rec *filestore.Record, view register.View) error {
	own, err := n.store.Register(rec.Name)
	if err != nil || rec.Voters.Contains(n.self()) || own.Record == nil || own.Accepted.Compare(view.Basis) >= 0 {
		return err
	}
	if own, err = n.remember(rec, view.Basis); err != nil || own.Accepted.Compare(view.Basis) >= 0 {
		return err
	}
	met := register.Met{From: n.self(), Record: own.Record, At: own.Accepted, Held: own.Held}
	o, err := n.changeFrom(ctx, rec.Name, view, register.Task{Met: []register.Met{met}}, forAll)
	if err != nil || o.record.Voters.Contains(n.self()) {
		return err
	}
	_, err = n.remember(&o.record, o.view.Basis)
	return err
}

// remember has this node remember a record chosen at a ballot, unless a version here
// stands in its way.
func (n *Node) remember(rec *filestore.Record, at filestore.Ballot) (filestore.Register, error) {
	return n.store.Learn(rec.Name, func(r filestore.Register) (filestore.Register, error) {
		return register.OnChosen(n.self(), r, at, *rec), nil
	})
}
