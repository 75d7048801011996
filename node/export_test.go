package node

import (
	"context"
	"crypto/ed25519"
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// DropStray tries to drop this node's copy of a name at once, without waiting
// for DropAfter.
func (n *Node) DropStray(ctx context.Context, name string) error { return n.dropStray(ctx, name) }

// What follows is what a member with a daemon of its own making could do.

// Prepare has a machine promise a ballot, as a coordinator does.
func (n *Node) Prepare(ctx context.Context, to MachineID, p register.Prepare) (a register.Answer, err error) {
	err = n.call(ctx, to, callPrepare, p, &a)
	return a, err
}

// Accept asks a machine to accept a record.
func (n *Node) Accept(ctx context.Context, to MachineID, p register.Accept) (a register.Answer, err error) {
	err = n.call(ctx, to, callAccept, p, &a)
	return a, err
}

// Obtain asks a machine to copy a record's content from this one.
func (n *Node) Obtain(ctx context.Context, to MachineID, rec filestore.Record) error {
	return n.call(ctx, to, callObtain, obtainRequest{Record: rec, Sources: []MachineID{n.self()}}, nil)
}

// Keep asks a machine to keep a copy of a record that was chosen under a ballot.
func (n *Node) Keep(ctx context.Context, to MachineID, rec filestore.Record, at filestore.Ballot) error {
	return n.call(ctx, to, callKeep, keepRequest{Record: rec, At: at, Sources: []MachineID{n.self()}}, nil)
}

// Create asks a machine to accept a new record, with its content, under a fast ballot.
func (n *Node) Create(ctx context.Context, to MachineID, m register.Accept, content []byte) (a register.Answer, err error) {
	err = n.call(ctx, to, callCreate, createRequest{Accept: m, Chunk: smallChunk{Raw: len(content), Payload: content}}, &a)
	return a, err
}

// StageAt stages content at a machine under a record.
func (n *Node) StageAt(ctx context.Context, to MachineID, rec filestore.Record, content []byte) error {
	s, err := n.stageAt(ctx, to, rec.Name, rec.Size)
	if err != nil {
		return err
	}
	if err := s.write(transfer.Chunk{Raw: len(content), Sum: rec.SHA256, Payload: content}); err != nil {
		return err
	}
	return s.seal(rec)
}

// StoreAs has a machine coordinate a store that is said to be of h's publisher.
func (n *Node) StoreAs(ctx context.Context, to MachineID, rec filestore.Record, content []byte) error {
	s, err := n.net.Open(ctx, n.members.peer(to), streamStore, storeHeader{
		Name: rec.Name, Op: rec.Op, Base: rec.Changes, IfExists: Replace, Publisher: rec.Publisher, Size: -1,
	})
	if err != nil {
		return err
	}
	defer s.Abort(ErrInterrupted)
	if err := s.WriteChunk(transfer.Chunk{Raw: len(content), Sum: rec.SHA256, Payload: content}); err != nil {
		return err
	}
	if err := s.EndChunks(); err != nil {
		return err
	}
	t := contentTrailer{Size: rec.Size, SHA256: rec.SHA256, Root: rec.Root, Signature: rec.Signature}
	if err := s.Send(t); err != nil {
		return err
	}
	var reply changeReply
	return s.Receive(&reply)
}

// StoreSmallAs is StoreAs in a call.
func (n *Node) StoreSmallAs(ctx context.Context, to MachineID, rec filestore.Record, content []byte) error {
	h := storeHeader{
		Name: rec.Name, Op: rec.Op, Base: rec.Changes, IfExists: Replace, Publisher: rec.Publisher, Size: int64(len(content)),
	}
	t := contentTrailer{Size: rec.Size, SHA256: rec.SHA256, Root: rec.Root, Signature: rec.Signature}
	return n.call(ctx, to, callStore, storeRequest{Header: h, Trailer: t, Chunk: smallChunk{Raw: len(content), Payload: content}}, nil)
}

// StageSmallAt is StageAt in a call.
func (n *Node) StageSmallAt(ctx context.Context, to MachineID, rec filestore.Record, content []byte) error {
	req := stageRequest{Record: rec, Chunk: smallChunk{Raw: len(content), Payload: content}}
	return n.call(ctx, to, callStage, req, nil)
}

// DeleteAs has a machine coordinate a delete that is said to be of a publisher.
func (n *Node) DeleteAs(ctx context.Context, to MachineID, rec filestore.Record, base uint64) error {
	req := changeRequest{
		Name: rec.Name, Op: rec.Op, Base: base, Delete: true, Publisher: rec.Publisher, Signature: rec.Signature,
	}
	return n.call(ctx, to, callChange, req, nil)
}

// Sign makes this node the record's publisher.
func (n *Node) Sign(rec *filestore.Record) { n.sign(rec) }

// Plant puts a record and its content into this node's own register, whatever
// the others say.
func (n *Node) Plant(rec filestore.Record, content []byte, at filestore.Ballot) error {
	l, err := n.stageHere(rec.Name, rec.Size)
	if err != nil {
		return err
	}
	if err := l.write(transfer.Chunk{Raw: len(content), Sum: rec.SHA256, Payload: content}); err != nil {
		return err
	}
	if err := l.seal(rec); err != nil {
		return err
	}
	_, err = n.store.Update(rec.Name, func(r filestore.Register) (filestore.Register, error) {
		r.Promised, r.Accepted, r.Record = at, at, &rec
		return r, nil
	})
	return err
}

// Register is what this node has of a name.
func (n *Node) Register(name string) (filestore.Register, error) { return n.store.Register(name) }

// Propose has this node coordinate a round that keeps the value it has.
func (n *Node) Propose(ctx context.Context, name string) error {
	_, err := n.change(ctx, name, register.Task{}, forAll)
	return err
}

// PublisherKey is publisherKey.
func (n *Node) PublisherKey(ctx context.Context, publisher, from MachineID) (ed25519.PublicKey, error) {
	return n.publisherKey(ctx, publisher, from)
}

// FetchFirstFrom reads a file, and tries one machine before all others.
func (n *Node) FetchFirstFrom(ctx context.Context, name string, first MachineID) ([]byte, error) {
	f, err := n.find(ctx, name)
	if err != nil {
		return nil, err
	}
	rec := f.live()
	rest := slices.DeleteFunc(n.rank(rec, f.holders), func(m MachineID) bool { return m == first || m == n.self() })
	p := pull{
		node: n, ctx: ctx, record: *rec, sources: untried(append([]MachineID{first}, rest...)),
		last: int64(filestore.ChunkCount(rec.Size)),
	}
	defer p.close()
	var all []byte
	for p.next < p.last {
		raw, err := p.chunk()
		if err != nil {
			return nil, err
		}
		all = append(all, raw...)
	}
	return all, nil
}

// Leaders is how many saves others could follow.
func (n *Node) Leaders() int {
	n.sharing.mu.Lock()
	defer n.sharing.mu.Unlock()
	return len(n.sharing.leaders)
}

// IsSlow reports whether this node takes a machine for slow.
func (n *Node) IsSlow(m MachineID) bool { return n.slow.lately(m) }

// KeepBeside stores what this node has of a name as a version that lost it.
func (n *Node) KeepBeside(ctx context.Context, name, beside string) error {
	reg, err := n.store.Register(name)
	if err != nil {
		return err
	}
	return n.storeConflict(ctx, beside, register.Met{From: n.self(), Record: reg.Record, At: reg.Accepted, Held: true})
}

// Restore puts back a register that this node had.
func (n *Node) Restore(name string, reg filestore.Register) error {
	_, err := n.store.Update(name, func(filestore.Register) (filestore.Register, error) { return reg, nil })
	return err
}

// Unlearn takes a name's register out of this node's table.
func (n *Node) Unlearn(name string) error {
	reg, err := n.store.Register(name)
	if err != nil {
		return err
	}
	return n.store.Discard(name, reg.Accepted)
}

// SaysNotStored reports whether this node would say of a name that it is not stored.
func (n *Node) SaysNotStored(name string) bool {
	a, err := n.onRead(readRequest{Name: name})
	return err == nil && a.Status == register.OK && a.Record == nil
}

// SaysWithout reports whether this node, asked to compare the whole ring, would pass for
// one that never had any of it.
func (n *Node) SaysWithout() bool {
	reply, err := n.onCompare(compareRequest{Ranges: []rangeSum{{}}}, n.self())
	return err == nil && !reply.Ranges[0].Claim && !reply.Ranges[0].Unsure
}
