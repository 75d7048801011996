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

// Source is content that the ring has: what the operation Version stored under Name.
type Source struct {
	Name    string
	Version filestore.OpID
}

// Copy stores content that the ring has under another name, without its bytes
// leaving this node: machines of the new name's group that hold it already copy
// it on their own disks, the others get it from a holder. The options are those
// of Store; Size, Compress and the numbers of copies have no meaning. Beside
// Store's errors there is ErrNotFound when the source is not there, or has
// another version by now.
func (n *Node) Copy(ctx context.Context, name string, from Source, o StoreOptions) (StoreResult, error) {
	r, err := n.copyFile(ctx, name, from, o)
	if err != nil {
		return r, &OpError{Op: "copy", Name: name, Err: err}
	}
	return r, nil
}

func (n *Node) copyFile(ctx context.Context, name string, from Source, o StoreOptions) (StoreResult, error) {
	if err := filestore.ValidateName(name); err != nil {
		return StoreResult{}, err
	}
	if n.state.leaving.Load() {
		return StoreResult{}, ErrLeaving
	}
	source, err := n.find(ctx, from.Name)
	if err != nil {
		return StoreResult{}, err
	}
	rec := source.live()
	if rec.Op != from.Version {
		return StoreResult{}, fmt.Errorf("%w: this version of %q", ErrNotFound, from.Name)
	}
	h := storeHeader{
		Name: name, Op: o.Op, Base: o.Base, IfExists: o.IfExists, Version: o.Version, Size: rec.Size,
		Mode: uint32(o.Mode.Perm()), Modified: o.Modified.UnixNano(), Publisher: n.self(),
	}
	if o.Modified.IsZero() {
		h.Modified = time.Now().UnixNano()
	}
	if h.Op == (filestore.OpID{}) {
		target, err := n.readFor(ctx, name, 0)
		if err != nil && !errors.Is(err, ErrVacant) {
			return StoreResult{}, err
		}
		h.Op, h.Base = NewOp(), target.changes()
	}
	req := copyRequest{
		Store: h, From: from.Name, Holders: n.rank(rec, source.holders),
		Content: contentTrailer{Size: rec.Size, SHA256: rec.SHA256, Root: rec.Root},
	}
	mark := h.record(req.Content)
	n.sign(&mark)
	req.Content.Signature = mark.Signature
	reply, err := n.requestCopy(ctx, req)
	if err != nil {
		return StoreResult{}, err
	}
	return n.storeResult(h, reply, 0)
}

// requestCopy has a copy coordinated, as requestChange has a change.
func (n *Node) requestCopy(ctx context.Context, req copyRequest) (changeReply, error) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout(req.Content.Size)+changeTimeout+callTimeout)
	defer cancel()
	return n.throughCoordinator(ctx, req.Store.Name, func(m MachineID) (reply changeReply, err error) {
		if m == n.self() {
			return n.onCopy(ctx, req)
		}
		if err = n.net.Call(ctx, n.members.peer(m), callCopy, req, &reply); err == nil {
			err = n.checkRecord(ctx, m, req.Store.Name, reply.Record)
		}
		return reply, err
	})
}

// copyTimeout is for making all copies of a content of size bytes.
func copyTimeout(size int64) time.Duration {
	return obtainTimeout + time.Duration(size/obtainRate)*time.Second
}

// onCopy coordinates a copy: the voters get the content, then the record is accepted.
func (n *Node) onCopy(ctx context.Context, req copyRequest) (changeReply, error) {
	h := req.Store
	for _, name := range []string{h.Name, req.From} {
		if err := filestore.ValidateName(name); err != nil {
			return changeReply{}, err
		}
	}
	if n.state.leaving.Load() {
		return changeReply{}, ErrLeaving
	}
	rec := h.record(req.Content)
	if err := n.checkPublished(ctx, &rec, h.Publisher); err != nil {
		return changeReply{}, err
	}
	view, err := n.view(ctx, h.Name)
	if err != nil {
		return changeReply{}, err
	}
	obtain := obtainRequest{Record: rec, Sources: req.Holders, From: req.From}
	if err := n.spread(ctx, obtain, view.Voters); err != nil {
		return changeReply{}, err
	}
	task := register.Task{Change: &register.Change{
		Op: h.Op, Base: h.Base,
		Apply: func(cur *filestore.Record) (filestore.Record, filestore.Result) {
			return applyStore(cur, rec, &h)
		},
	}}
	changing, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	o, err := n.changeFrom(changing, h.Name, view, task, forGrace)
	if err != nil {
		return changeReply{}, err
	}
	return n.replyOf(ctx, o), nil
}

// spread has the voters obtain a content. It returns when all have it, or a
// quorum has and the others are slow.
func (n *Node) spread(ctx context.Context, req obtainRequest, voters filestore.Voters) error {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout(req.Record.Size))
	defer cancel()
	to := voters.All()
	answers := ask(n, to, func(m MachineID) (struct{}, error) { return struct{}{}, n.sendObtain(ctx, m, req) })
	have := map[MachineID]bool{}
	enough := func() bool { return register.Quorum(voters, func(m MachineID) bool { return have[m] }) }
	var errs []error
	var grace <-chan time.Time
	for range to {
		select {
		case a := <-answers:
			if a.err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n.members.label(a.from), a.err))
			}
			have[a.from] = a.err == nil
		case <-grace:
			return nil
		case <-ctx.Done():
			errs = append(errs, ctx.Err())
		}
		if grace == nil && enough() {
			grace = time.After(sealGrace)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if enough() {
		return nil
	}
	for _, cause := range []error{filestore.ErrNoSpace, filestore.ErrCollision, filestore.ErrCorrupt} {
		if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, cause) }) {
			return fmt.Errorf("%w: %w", cause, errors.Join(errs...))
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(errs...))
}
