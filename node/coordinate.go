package node

import (
	"context"
	"fmt"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// onStore coordinates a store whose content comes from another node.
func (n *Node) onStore(ctx context.Context, h storeHeader, s *transfer.Stream) error {
	if n.state.leaving.Load() {
		return ErrLeaving
	}
	reply, err := n.coordinateStore(ctx, h, func(ctx context.Context, f *fanout) (t contentTrailer, err error) {
		if h.Resume {
			if err := tellPart(s, f.common(ctx)); err != nil {
				return t, err
			}
		}
		if err := receiveChunks(s, f.write); err != nil {
			return t, err
		}
		err = s.Receive(&t)
		return t, err
	})
	if err != nil {
		return err
	}
	return s.Send(reply)
}

// coordinateStore stages the content at the name's voters while run brings it,
// then has the record accepted.
func (n *Node) coordinateStore(ctx context.Context, h storeHeader, run func(context.Context, *fanout) (contentTrailer, error)) (changeReply, error) {
	if err := filestore.ValidateName(h.Name); err != nil {
		return changeReply{}, err
	}
	view, err := n.viewToStore(ctx, h.Name)
	if err != nil {
		return changeReply{}, err
	}
	var rec filestore.Record
	task := register.Task{Change: h.change(&rec)}
	f := n.newFanout(ctx, h, view.Voters, n.beyond(ctx, h.Name, view.Voters, h.copies()))
	first, err := n.begin(ctx, h.Name, view, task, 0) // its promises come in while the content does
	if err != nil {
		f.abort()
		return changeReply{}, err
	}
	t, err := run(ctx, f)
	if err == nil {
		err = h.checkSize(t.Size)
	}
	if err == nil {
		rec = h.record(t)
		err = n.checkPublished(ctx, &rec, h.Publisher)
	}
	if err != nil {
		f.abort()
		return changeReply{}, err
	}
	rec.Copies = n.asCopies(h.copies())
	if err := f.seal(ctx, rec); err != nil {
		return changeReply{}, err
	}
	changing, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	o, err := n.complete(changing, first, task, patience{copies: max(h.Quorum, h.Replicas)})
	if err != nil {
		return changeReply{}, err
	}
	reply := n.replyOf(ctx, o)
	n.standIn(ctx, &reply, o, f.failed())
	return reply, nil
}

// change is what a store does to a register. The record is read when it is carried out.
func (h *storeHeader) change(rec *filestore.Record) *register.Change {
	return &register.Change{
		Op: h.Op, Base: h.Base,
		Apply: func(cur *filestore.Record) (filestore.Record, filestore.Result) { return applyStore(cur, *rec, h) },
	}
}

// copies are those asked for, where that is more than the ring keeps of each file.
func (h *storeHeader) copies() int { return max(h.Replicas, h.Quorum) }

// checkSize refuses content that is not as long as it was to be.
func (h *storeHeader) checkSize(size int64) error {
	if h.Size >= 0 && size != h.Size {
		return fmt.Errorf("%w: %d of %d bytes came", ErrInterrupted, size, h.Size)
	}
	return nil
}

// replaces reports whether a store goes over other content that has the name.
func (h *storeHeader) replaces(there *filestore.Record) bool {
	return h.IfExists == Replace || h.IfExists == Update && there.Op == h.Version
}

// applyStore is the change that a store makes to a register.
func applyStore(cur *filestore.Record, rec filestore.Record, h *storeHeader) (filestore.Record, filestore.Result) {
	switch {
	case cur == nil || cur.Deleted:
		return rec, filestore.ResultStored
	case cur.SameContent(&rec):
		return moreCopies(*cur, rec.Copies), filestore.ResultIdentical
	case h.replaces(cur):
		return rec, filestore.ResultReplaced
	}
	return *cur, filestore.ResultExists
}

// record is what a store writes.
func (h storeHeader) record(t contentTrailer) filestore.Record {
	return filestore.Record{
		Format: filestore.RecordFormat, Name: h.Name, Op: h.Op,
		Size: t.Size, SHA256: t.SHA256, Root: t.Root, Mode: h.Mode, Modified: h.Modified,
		Stored: time.Now().UnixNano(), Publisher: h.Publisher, Signature: t.Signature,
	}
}

// replyOf is the reply to a change, once the copies beyond the voters are made.
func (n *Node) replyOf(ctx context.Context, o outcome) changeReply {
	rec := &o.record
	reply := changeReply{Result: o.result, Record: rec, Copies: o.acceptors, Want: len(rec.Voters.New)}
	if !rec.Deleted {
		reply.Want = rec.Wanted()
		reply.Copies = append(reply.Copies, n.makeExtra(ctx, *rec, o.view.Basis, o.acceptors)...)
	}
	return reply
}
