package simulate

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// patience is how long a client tries, as the command line does.
const patience = 2 * time.Minute

// life is a member's node while it runs, as clients see it.
type life struct {
	member *ringtest.Member
	node   *node.Node
	ctx    context.Context
	cancel context.CancelFunc
}

// attempt is what a client keeps from one attempt to the next.
type attempt struct {
	op      filestore.OpID
	base    uint64
	based   bool // base is known
	quorum  int
	content []byte
}

// client goes on doing one thing after the other until the run is over.
func (w *world) client(id int, rng *rand.Rand) {
	for !w.isOver() {
		w.perform(rng, id, w.names[rng.IntN(len(w.names))], kind(rng.IntN(int(kinds))))
		time.Sleep(time.Duration(rng.Int64N(int64(w.plan.pause))))
	}
}

// perform carries out one operation as a client does: through one node, and
// where that gives no answer again through another, with the same operation ID.
func (w *world) perform(rng *rand.Rand, client int, name string, k kind) {
	o := w.history.Call(client, name, k)
	a := attempt{op: node.NewOp()}
	if rng.IntN(10) == 0 {
		a.quorum = w.plan.n
	}
	if k == put || k == putIfAbsent {
		a.content = content(w.plan.seed, o.Value, w.plan.largest)
	}
	allowed := 30 * time.Second
	if rng.IntN(20) == 0 {
		allowed = time.Duration(rng.Int64N(int64(200 * time.Millisecond)))
		w.tally.count(impatientClient)
	}
	for time.Since(w.history.Start)-o.From < patience {
		if l := w.pick(rng); l != nil {
			ctx, cancel := context.WithTimeout(l.ctx, allowed)
			r, err := w.try(ctx, l.node, o, &a)
			cancel()
			if l.ctx.Err() != nil {
				r, err = unknown, l.ctx.Err() // the answer never arrived
			}
			if r != unknown {
				w.history.End(o, r)
				w.repeat(rng, o, &a)
				return
			}
			if !passing(err) {
				w.t.Errorf("%v %s at %s: %v", k, name, l.member.Host, err)
				break
			}
		}
		allowed = 30 * time.Second
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
	}
	w.history.End(o, unknown)
}

// repeat asks now and then for a change again that has been answered, as a
// client does that missed the answer: it must get the same one.
func (w *world) repeat(rng *rand.Rand, o *operation, a *attempt) {
	if o.Kind == get || rng.IntN(8) != 0 {
		return
	}
	time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Second))))
	l := w.pick(rng)
	if l == nil {
		return
	}
	w.tally.count(repeatedRequest)
	ctx, cancel := context.WithTimeout(l.ctx, 30*time.Second)
	defer cancel()
	r, err := w.try(ctx, l.node, o, a)
	w.logf("%v %d of %s once more at %s: %v %v (base %d)", o.Kind, o.Value, o.Name, l.member.Host, r, err, a.base)
	if l.ctx.Err() == nil && r != unknown && r != o.Result {
		w.t.Errorf("%v %d of %s was answered %v and, asked again, %v (%v)", o.Kind, o.Value, o.Name, o.Result, r, err)
	}
}

// passing reports whether an error is one that faults may cause.
func passing(err error) bool {
	for _, e := range []error{
		node.ErrUnavailable, node.ErrOutcome, node.ErrInterrupted, node.ErrLeaving, node.ErrNotReady,
		filestore.ErrNoSpace, filestore.ErrDegraded, filestore.ErrCorrupt, filestore.ErrClosed, syscall.EIO, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (w *world) try(ctx context.Context, n *node.Node, o *operation, a *attempt) (result, error) {
	if o.Kind == get {
		return w.get(ctx, n, o)
	}
	if !a.based {
		f, err := n.Stat(ctx, o.Name)
		if err != nil && !errors.Is(err, node.ErrNotFound) {
			return unknown, err
		}
		a.base, a.based = f.Record.Changes, true
	}
	var err error
	if o.Kind == remove {
		err = n.Delete(ctx, o.Name, a.op, a.base)
	} else {
		options := node.StoreOptions{Op: a.op, Base: a.base, Quorum: a.quorum}
		if o.Kind == put {
			options.IfExists = node.Replace
		}
		if o.Value%4 != 0 { // most clients know how long it is
			options.Size, options.Empty = int64(len(a.content)), len(a.content) == 0
		}
		if o.Value%4 == 1 { // some store many files at once
			err = n.StoreMany(ctx, []node.Put{{Name: o.Name, Content: a.content, Options: options}})[0].Err
		} else {
			_, err = n.Store(ctx, o.Name, bytes.NewReader(a.content), options)
		}
	}
	switch {
	case err == nil, errors.Is(err, node.ErrTooFew): // stored, but on fewer than were asked for
		return done, nil
	case errors.Is(err, node.ErrExists):
		return taken, nil
	case errors.Is(err, node.ErrNotFound):
		return absent, nil
	}
	return unknown, err
}

// get fetches a name. Whatever comes must be a version of it, confirmed or not.
func (w *world) get(ctx context.Context, n *node.Node, o *operation) (result, error) {
	b, f, err := ringtest.Fetch(ctx, &ringtest.Member{Node: n}, o.Name, node.FetchOptions{})
	switch {
	case errors.Is(err, node.ErrNotFound):
		o.Value = 0
		return done, nil
	case err != nil:
		return unknown, err
	}
	value, err := valueOf(w.plan.seed, b, w.plan.largest)
	if err != nil || !w.history.Wrote(o.Name, value) {
		w.t.Errorf("a fetch of %s gave bytes that nobody stored under it: value %d, %v", o.Name, value, err)
		return unknown, err
	}
	if !f.Confirmed {
		w.tally.count("(an unconfirmed answer)")
		return unknown, node.ErrUnavailable
	}
	o.Value = value
	return done, nil
}

// pick chooses a member that runs; nil if there is none.
func (w *world) pick(rng *rand.Rand) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lives) == 0 {
		return nil
	}
	return w.lives[rng.IntN(len(w.lives))]
}

// enliven offers a member that runs to the clients.
func (w *world) enliven(m *ringtest.Member) {
	l := &life{member: m, node: m.Node}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives = append(w.lives, l)
}

// bury takes a member from the clients; what they asked it goes unanswered.
func (w *world) bury(m *ringtest.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives = slices.DeleteFunc(w.lives, func(l *life) bool {
		if l.member == m {
			l.cancel()
		}
		return l.member == m
	})
}
