package node

import (
	"context"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// obtainRate is the slowest copying that is waited for, in bytes a second, on
// top of obtainTimeout.
const (
	obtainTimeout = 30 * time.Second
	obtainRate    = 256 << 10
	repairRate    = 64 << 10 // obtainRate of repair, which waits for its turn
)

// makeObtain has a machine get a record's content from those that hold it. It
// returns at once where the machine has the content already.
func (n *Node) makeObtain(ctx context.Context, m MachineID, rec filestore.Record, holders []MachineID) error {
	limit := obtainTimeout + time.Duration(rec.Size/obtainRate)*time.Second
	return n.haveObtained(ctx, m, obtainRequest{Record: rec, Sources: holders}, limit)
}

// makeRepairCopy is makeObtain for repair, which nobody waits for: at no more
// than the rate that the machine takes.
func (n *Node) makeRepairCopy(ctx context.Context, m MachineID, rec filestore.Record, holders []MachineID) error {
	limit := 2*obtainTimeout + time.Duration(rec.Size/repairRate)*time.Second
	return n.haveObtained(ctx, m, obtainRequest{Record: rec, Sources: holders, Repair: true}, limit)
}

func (n *Node) haveObtained(ctx context.Context, m MachineID, req obtainRequest, limit time.Duration) error {
	req.Sources = slices.DeleteFunc(n.rank(&req.Record, req.Sources), func(s MachineID) bool { return s == m })
	if err := n.unfit.lately(m, req.Record.Size); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := n.sendObtain(ctx, m, req)
	n.refused(m, req.Record.Size, err)
	return err
}

func (n *Node) sendObtain(ctx context.Context, m MachineID, req obtainRequest) error {
	if m == n.self() {
		return n.obtain(ctx, req)
	}
	return n.net.Call(ctx, n.members.peer(m), callObtain, req, nil)
}

// obtain gets a record's content from one of the sources, or several in turn,
// and makes it durable, ready to be accepted. Where this node has it under the
// name it is to be taken from, nothing goes over the network.
func (n *Node) obtain(ctx context.Context, req obtainRequest) error {
	_, err := n.obtainFrom(ctx, req)
	return err
}

// obtainFrom is obtain, and names those that the content came from.
func (n *Node) obtainFrom(ctx context.Context, req obtainRequest) (from []string, err error) {
	rec := req.Record
	if err := filestore.ValidateName(rec.Name); err != nil || rec.Deleted {
		return nil, err
	}
	release, err := n.copying.enter(ctx, rec.Name)
	if err != nil {
		return nil, err
	}
	defer release()
	if n.store.Holds(rec.Name, rec.SHA256) {
		return nil, nil
	}
	if req.Repair {
		leave, err := n.pacer.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	stage, err := n.newStage(rec.Name, rec.Size)
	if err != nil {
		return nil, err
	}
	p := pull{node: n, ctx: ctx, record: rec, sources: untried(req.Sources), last: int64(filestore.ChunkCount(rec.Size))}
	if req.From != "" {
		p.record.Name = req.From
		if n.store.Holds(req.From, rec.SHA256) {
			p.sources = append([]candidate{{machine: n.self()}}, p.sources...)
		}
	}
	defer p.close()
	for p.next < p.last {
		at := p.next
		raw, err := p.chunk()
		if err == nil && req.Repair {
			err = n.pacer.pass(ctx, len(raw))
		}
		if err == nil {
			err = p.write(stage, at, raw)
		}
		if err != nil {
			stage.Discard()
			return nil, err
		}
	}
	if err := stage.Seal(rec); err != nil {
		stage.Discard()
		return nil, err
	}
	n.staged.add(stage, &rec)
	return p.from, nil
}

// write puts chunk number at into the stage, with the hash it was checked by
// where there is a list.
func (p *pull) write(stage *filestore.Stage, at int64, raw []byte) error {
	if p.hashes != nil {
		return stage.WriteChunk(raw, p.hashes[at])
	}
	_, err := stage.Write(raw)
	return err
}

// onObtain answers a coordinator that wants this node to have a copy.
func (n *Node) onObtain(ctx context.Context, req obtainRequest, from MachineID) error {
	if n.state.leaving.Load() {
		return ErrLeaving
	}
	if err := n.checkPublished(ctx, &req.Record, from); err != nil {
		return err
	}
	req.Sources = slices.DeleteFunc(req.Sources, func(m MachineID) bool { return m == n.self() })
	return n.obtain(ctx, req)
}
