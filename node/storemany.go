package node

import (
	"bytes"
	"context"
	"sync"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// Put is one file of StoreMany.
type Put struct {
	Name    string
	Content []byte
	Options StoreOptions // Size and Empty are those of Content
}

// PutResult is what Store would have returned.
type PutResult struct {
	StoreResult
	Err error
}

// StoreMany stores many files as Store does each, at the same time, and returns what
// came of them in their order. Small ones that have an Op go to each coordinator
// together; where that one does not take them, each goes on to the next by itself.
func (n *Node) StoreMany(ctx context.Context, files []Put) []PutResult {
	results := make([]PutResult, len(files))
	names := make([]string, len(files))
	for i := range files {
		f := &files[i]
		names[i] = f.Name
		f.Options.Size, f.Options.Empty = int64(len(f.Content)), len(f.Content) == 0
	}
	n.lookNear(ctx, names)
	at := map[MachineID][]*onePut{}
	var all sync.WaitGroup
	for i := range files {
		f, result := &files[i], &results[i]
		p := n.beginPut(ctx, f)
		if p == nil {
			all.Go(func() { result.StoreResult, result.Err = n.Store(ctx, f.Name, bytes.NewReader(f.Content), f.Options) })
			continue
		}
		defer p.feed.close()
		p.result = result
		at[p.candidates[0]] = append(at[p.candidates[0]], p)
	}
	for m, list := range at {
		all.Go(func() {
			n.putAt(ctx, m, list)
			for _, p := range list {
				if p.err == nil {
					n.endPut(ctx, p)
				} else {
					all.Go(func() { n.endPut(ctx, p) })
				}
			}
		})
	}
	all.Wait()
	return results
}

// onePut is a small file on its way to its coordinator.
type onePut struct {
	creation
	feed       *feed
	candidates []MachineID // to coordinate it, the best first
	result     *PutResult
}

// beginPut reads a small content and finds its coordinators; nil: it is to be stored alone.
func (n *Node) beginPut(ctx context.Context, f *Put) *onePut {
	if f.Options.Op == (filestore.OpID{}) || !isSmall(f.Options.Size) || n.state.leaving.Load() || n.checkRaised(f.Options) != nil {
		return nil
	}
	encoder, err := n.encoder(f.Options.Compress)
	if err != nil {
		return nil
	}
	p := &onePut{creation: creation{header: n.storeHeader(f.Name, f.Options)}}
	if p.candidates, err = n.coordinators(ctx, f.Name); err != nil {
		return nil
	}
	p.feed = &feed{content: bytes.NewReader(f.Content), encoder: encoder, sign: n.sign, header: &p.header}
	if p.chunk, p.trailer, err = p.feed.whole(); err != nil {
		return nil
	}
	return p
}

// putAt has puts coordinated by one machine.
func (n *Node) putAt(ctx context.Context, m MachineID, list []*onePut) {
	if m == n.self() {
		own := make([]*creation, len(list))
		for i, p := range list {
			own[i] = &p.creation
		}
		n.coordinateSmall(ctx, own)
		return
	}
	requests := make([][]byte, len(list))
	for i, p := range list {
		requests[i], _ = transfer.Marshal(storeRequest{Header: p.header, Trailer: p.trailer, Chunk: wireChunk(p.chunk)}) // it cannot fail
	}
	within, cancel := context.WithTimeout(ctx, smallStore)
	defer cancel()
	n.callVoterEach(within, m, callStore, requests, func(i int, raw []byte, err error) {
		p := list[i]
		if err == nil {
			err = transfer.Unmarshal(raw, &p.reply)
		}
		if err != nil {
			p.err = n.notThrough(m, &p.header, p.feed, err)
			return
		}
		p.err = n.checkRecord(ctx, m, p.header.Name, p.reply.Record)
	})
}

// endPut goes on with a put where its first coordinator has not ended it.
func (n *Node) endPut(ctx context.Context, p *onePut) {
	reply, err := p.reply, p.err
	if err != nil {
		var before attempts
		if n.failedAt(p.candidates[0], p.feed, err, &before) {
			reply, err = n.sendToOneOf(ctx, p.candidates[1:], p.header, p.feed, &before)
		} else {
			err = before.failure(p.feed)
		}
	}
	if err == nil {
		p.result.StoreResult, err = n.storeResult(p.header, reply, p.feed.sent)
	}
	if err != nil {
		p.result.Err = &OpError{Op: "store", Name: p.header.Name, Err: err}
	}
}
