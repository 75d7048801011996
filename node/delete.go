package node

import (
	"context"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Delete removes a file from the ring: a tombstone takes its place. A zero op
// is a new operation; a retry carries the op and base of the first attempt. The
// errors are ErrNotFound, ErrUnavailable and ErrOutcome, wrapped in an OpError.
func (n *Node) Delete(ctx context.Context, name string, op filestore.OpID, base uint64) error {
	if err := n.delete(ctx, name, op, base); err != nil {
		return &OpError{Op: "delete", Name: name, Err: err}
	}
	return nil
}

// DeleteVersion is Delete of the one version that the operation version stored.
// When the name has other content the error is ErrExists, an ExistsError.
func (n *Node) DeleteVersion(ctx context.Context, name string, version, op filestore.OpID, base uint64) error {
	if err := n.deleteVersion(ctx, changeRequest{Name: name, Op: op, Base: base, Version: version}); err != nil {
		return &OpError{Op: "delete", Name: name, Err: err}
	}
	return nil
}

func (n *Node) delete(ctx context.Context, name string, op filestore.OpID, base uint64) error {
	return n.deleteVersion(ctx, changeRequest{Name: name, Op: op, Base: base})
}

func (n *Node) deleteVersion(ctx context.Context, req changeRequest) error {
	if req.Op == (filestore.OpID{}) {
		f, err := n.find(ctx, req.Name)
		if err != nil {
			return err
		}
		req.Op, req.Base = NewOp(), f.changes()
	} else if err := filestore.ValidateName(req.Name); err != nil {
		return err
	}
	req.Delete = true
	reply, err := n.requestChange(ctx, req)
	if err != nil {
		return err
	}
	switch {
	case reply.Result == filestore.ResultNotFound:
		return ErrNotFound
	case reply.Result == filestore.ResultExists && reply.Record != nil:
		return &ExistsError{Record: *reply.Record}
	}
	return nil
}

// requestChange has a change without content coordinated, by this node where it
// is in the name's group, else by the first of the group that takes it.
func (n *Node) requestChange(ctx context.Context, req changeRequest) (changeReply, error) {
	req.Publisher = n.self()
	if req.Delete {
		mark := req.tombstone()
		n.sign(&mark)
		req.Signature = mark.Signature
	}
	return n.throughCoordinator(ctx, req.Name, func(m MachineID) (changeReply, error) { return n.sendChange(ctx, m, req) })
}

func (n *Node) sendChange(ctx context.Context, m MachineID, req changeRequest) (reply changeReply, err error) {
	if m == n.self() {
		return n.onChange(ctx, req)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout+callTimeout)
	defer cancel()
	err = n.net.Call(ctx, n.members.peer(m), callChange, req, &reply)
	n.silence.note(m, err)
	if err == nil {
		err = n.checkRecord(ctx, m, req.Name, reply.Record)
	}
	return reply, err
}

// onChange coordinates a change without content.
func (n *Node) onChange(ctx context.Context, req changeRequest) (changeReply, error) {
	if err := filestore.ValidateName(req.Name); err != nil {
		return changeReply{}, err
	}
	if n.state.leaving.Load() {
		return changeReply{}, ErrLeaving
	}
	if mark := req.tombstone(); req.Delete {
		if err := n.checkPublished(ctx, &mark, req.Publisher); err != nil {
			return changeReply{}, err
		}
	}
	changing, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	apply := func(cur *filestore.Record) (filestore.Record, filestore.Result) { return applyDelete(cur, req) }
	if !req.Delete {
		copies := n.asCopies(req.Copies)
		apply = func(cur *filestore.Record) (filestore.Record, filestore.Result) {
			return applyCompare(cur, req, copies)
		}
	}
	dated := func(cur *filestore.Record) (filestore.Record, filestore.Result) {
		next, result := apply(cur)
		if next.Deleted && next.DeletedRing == 0 {
			next.DeletedRing = n.clock.seconds()
		}
		return next, result
	}
	o, err := n.change(changing, req.Name, register.Task{Change: &register.Change{Op: req.Op, Base: req.Base, Apply: dated}}, patience{copies: req.Copies})
	if err != nil {
		return changeReply{}, err
	}
	return n.replyOf(ctx, o), nil
}

// applyDelete is the change that a delete makes to a register.
func applyDelete(cur *filestore.Record, req changeRequest) (filestore.Record, filestore.Result) {
	if cur != nil && cur.Deleted {
		return *cur, filestore.ResultNotFound
	}
	if cur != nil && req.Version != (filestore.OpID{}) && cur.Op != req.Version {
		return *cur, filestore.ResultExists
	}
	if cur == nil {
		return req.tombstone(), filestore.ResultNotFound
	}
	return req.tombstone(), filestore.ResultDeleted
}

// applyCompare is the change of a store whose content stayed at home because
// the name was taken: it remembers how the comparison came out.
func applyCompare(cur *filestore.Record, req changeRequest, copies uint8) (filestore.Record, filestore.Result) {
	switch {
	case cur == nil || cur.Deleted: // gone since: the content is needed after all
		return filestore.Record{}, 0
	case cur.SHA256 == req.Content.SHA256 && cur.Size == req.Content.Size:
		return moreCopies(*cur, copies), filestore.ResultIdentical
	}
	return *cur, filestore.ResultExists
}
