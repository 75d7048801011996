package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// found is what a read came to.
type found struct {
	record    *filestore.Record // nil: not stored; may be a tombstone
	view      register.View
	confirmed bool
	silent    bool        // too few of the voters answered
	holders   []MachineID // that said they hold the content, in no order
	kept      bool        // no voter has said that it has the record: others, who do not vote, have kept it
	survivor  bool        // with kept: a voter has an older one
	notHere   bool        // this node had no record of it
}

// live returns the record unless the name is not stored.
func (f found) live() *filestore.Record {
	if f.record == nil || f.record.Deleted {
		return nil
	}
	return f.record
}

// changes is the name's change counter.
func (f found) changes() uint64 {
	if f.record == nil {
		return 0
	}
	return f.record.Changes
}

// read reads a name's register, in one round where that is enough to know what
// is chosen. Where a majority of the voters does not answer, the newest record
// that they have is returned unconfirmed, or one that somebody without a vote has
// kept if that is newer; without one the error is ErrUnavailable, or ErrVacant.
func (n *Node) read(ctx context.Context, name string) (found, error) {
	return n.readBy(ctx, name, 0)
}

// readBy is read with so many voters agreed, where that is more than a majority.
// If fewer answer that is ErrUnavailable, whatever they have.
func (n *Node) readBy(ctx context.Context, name string, need int) (found, error) {
	h := heard{}
	view, err := n.viewHearing(ctx, name, h)
	if err != nil {
		return found{}, err
	}
	var best found
	kept := h.under(view.Basis)
	vacant := false
	for range 3 {
		r, verdict := n.readUnder(ctx, name, view, h, need)
		h = nil // the next round is to be about another list, and later
		rec, at := r.Record()
		vacant = r.Vacant()
		switch verdict {
		case register.Decided:
			if rec != nil {
				view = register.ViewOf(rec, at)
			}
			return found{record: rec, view: view, confirmed: true, holders: r.Holders()}, nil
		case register.Stale:
			if at.Compare(kept.view.Basis) > 0 {
				kept = found{record: rec, view: register.ViewOf(rec, at), holders: r.Holders(), kept: true}
			}
			view = r.Learned()
			continue
		}
		if rec != nil {
			best = found{
				record: rec, view: register.ViewOf(rec, at), holders: r.Holders(),
				silent: verdict == register.Silent && ctx.Err() == nil,
			}
		}
		kept.silent, kept.survivor = verdict == register.Silent && ctx.Err() == nil, rec != nil
		if verdict == register.Undecided {
			if f, err := n.keep(ctx, name, view, need); err == nil {
				return f, nil
			}
		}
		break
	}
	switch {
	case need > 0:
		return found{}, fmt.Errorf("%w: a read quorum of %d", ErrUnavailable, need)
	case kept.record != nil && kept.view.Basis.Compare(best.view.Basis) > 0:
		return kept, nil
	case best.record != nil:
		return best, nil
	case vacant:
		return found{}, ErrVacant
	}
	return found{}, ErrUnavailable
}

// readGrace is how long a read that a majority has answered waits for the others,
// where it takes them to know that a value is chosen, before it finishes that value.
const readGrace = 200 * time.Millisecond

// readUnder asks everybody under a view what they have, but for those that this
// operation has heard already: what they answer does not depend on the view.
// With a majority there, those that were silent a moment ago are not waited for, and
// the others for no longer than readGrace.
func (n *Node) readUnder(ctx context.Context, name string, view register.View, h heard, need int) (*register.Reading, register.Verdict) {
	r := register.NewReading(view)
	r.Require(need)
	var to []MachineID
	for _, m := range r.To() {
		a, ok := h[m]
		if !ok {
			to = append(to, m)
			continue
		}
		if verdict := r.OnAnswer(m, a); verdict != register.Open {
			return r, verdict
		}
	}
	w := n.awaiting(to)
	answers := ask(n, to, func(m MachineID) (register.Answer, error) { return n.sendRead(ctx, m, name) })
	var grace <-chan time.Time
	verdict := register.Open
	for verdict == register.Open {
		switch enough := r.Enough(); {
		case enough && w.onlySilent():
			return r, passOver(w, register.Open, r.OnSilence)
		case enough && grace == nil:
			grace = time.After(readGrace)
		}
		select {
		case a := <-answers:
			w.came(a.from)
			if a.err != nil {
				verdict = r.OnSilence(a.from)
			} else {
				verdict = r.OnAnswer(a.from, a.is)
			}
		case <-grace:
			return r, passOver(w, register.Open, r.OnSilence)
		case <-ctx.Done():
			return r, register.Silent
		}
	}
	return r, verdict
}

// keep finishes what is half accepted: the present value is chosen once more, by
// so many voters if need is more than a majority.
func (n *Node) keep(ctx context.Context, name string, view register.View, need int) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	o, err := n.changeFrom(ctx, name, view, register.Task{}, patience{none: need == 0, copies: need})
	if errors.Is(err, ErrNotFound) && need == 0 {
		return found{view: view, confirmed: true}, nil
	}
	if err == nil && len(o.acceptors) < need {
		err = ErrUnavailable
	}
	if err != nil {
		return found{}, err
	}
	return found{record: &o.record, view: o.view, confirmed: true, holders: slices.Clone(o.acceptors)}, nil
}
