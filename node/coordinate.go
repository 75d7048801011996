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
	reply, err := n.coordinateStore(ctx, h, func(_ context.Context, write func(transfer.Chunk) error) (t contentTrailer, err error) {
		if err := receiveChunks(s, write); err != nil {
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
func (n *Node) coordinateStore(ctx context.Context, h storeHeader, run func(context.Context, func(transfer.Chunk) error) (contentTrailer, error)) (changeReply, error) {
	if err := filestore.ValidateName(h.Name); err != nil {
		return changeReply{}, err
	}
	view, err := n.view(ctx, h.Name)
	if err != nil {
		return changeReply{}, err
	}
	var rec filestore.Record
	replaced := false
	task := register.Task{Change: &register.Change{
		Op: h.Op, Base: h.Base,
		Apply: func(cur *filestore.Record) (filestore.Record, filestore.Result) {
			replaced = cur != nil && !cur.Deleted
			return applyStore(cur, rec, &h)
		},
	}}
	voters := view.Voters.All()
	enough := func(has func(MachineID) bool) bool { return register.Quorum(view.Voters, has) }
	f := n.newFanout(ctx, h.Name, h.Size, voters, enough)
	first, err := n.begin(ctx, h.Name, view, task, 0) // its promises come in while the content does
	if err != nil {
		f.abort()
		return changeReply{}, err
	}
	t, err := run(ctx, f.write)
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
	if err := f.seal(ctx, rec); err != nil {
		return changeReply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	o, err := n.complete(ctx, first, task, forGrace)
	if err != nil {
		return changeReply{}, err
	}
	reply := n.replyOf(o)
	reply.Replaced = replaced
	return reply, nil
}

// checkSize refuses content that is not as long as it was to be.
func (h *storeHeader) checkSize(size int64) error {
	if h.Size > 0 && size != h.Size {
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
		return *cur, filestore.ResultIdentical
	case h.replaces(cur):
		return rec, filestore.ResultStored
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

func (n *Node) replyOf(o outcome) changeReply {
	return changeReply{Result: o.result, Record: &o.record, Copies: o.acceptors, Want: len(o.record.Voters.New)}
}
