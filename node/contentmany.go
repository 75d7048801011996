package node

import (
	"context"
	"fmt"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// Small contents of many files are read together: from each holder those that it is
// the best one for, a message full of them at a time. What does not come, or is not
// what its record says, is read again alone, from whoever has it.

const (
	contentsBytes  = 128 << 10       // of content in one message: in so much less than contentsLimit it comes over a slow link
	contentsAtOnce = 16              // messages that are put together at the same time, for all who ask
	contentsLimit  = 5 * time.Second // without any content, until those that do not come are read alone
)

// contentsRequest asks for many small contents.
type contentsRequest struct {
	Of []contentRequest `cbor:"1,keyasint"`
}

// contentsReply answers in the order of the request. What the callee cannot give is
// empty.
type contentsReply struct {
	Chunks []smallChunk `cbor:"1,keyasint"`
}

// onContents is onContent for many files, one after the other.
func (n *Node) onContents(ctx context.Context, r contentsRequest) (contentsReply, error) {
	if len(r.Of) > manyNames {
		return contentsReply{}, errBadRequest
	}
	select {
	case n.coding.contents <- struct{}{}:
		defer func() { <-n.coding.contents }()
	case <-ctx.Done():
		return contentsReply{}, ctx.Err()
	}
	reply := contentsReply{Chunks: make([]smallChunk, len(r.Of))}
	room := 2 * contentsBytes
	for i, of := range r.Of {
		if room <= 0 {
			break
		}
		if chunk, err := n.onContent(of); err == nil {
			reply.Chunks[i] = chunk
			room -= len(chunk.Payload)
		}
	}
	return reply, nil
}

// wanted is a small content that is to be read from a machine.
type wanted struct {
	index  int // of the caller's
	record *filestore.Record
}

// readContents reads small contents, those of each machine one message after the
// other, and hands over what comes, checked.
func (n *Node) readContents(ctx context.Context, from map[MachineID][]wanted, take func(index int, m MachineID, content []byte)) {
	type part struct {
		from     MachineID
		of       []wanted
		contents [][]byte
		last     bool
	}
	parts := make(chan part)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := func(m MachineID, list []wanted) {
		for first := range inMessages(list) {
			p := part{from: m, of: first, contents: n.contentsAt(ctx, m, first)}
			list = list[len(first):]
			p.last = len(list) == 0
			select {
			case parts <- p:
			case <-ctx.Done():
				return
			case <-n.tasks.closing:
				return
			}
		}
	}
	missing := map[MachineID]bool{}
	for m, list := range from {
		if n.tasks.run(func() { read(m, list) }) {
			missing[m] = true
		}
	}
	patience := time.NewTimer(contentsLimit)
	defer patience.Stop()
	for len(missing) > 0 {
		select {
		case p := <-parts:
			for i, content := range p.contents {
				if content != nil {
					take(p.of[i].index, p.from, content)
				}
			}
			if p.last {
				delete(missing, p.from)
			}
			patience.Reset(contentsLimit)
		case <-patience.C:
			for m := range missing {
				n.slow.note(m)
			}
			return
		case <-ctx.Done():
			return
		case <-n.tasks.closing:
			return
		}
	}
}

// inMessages divides a list into what one message holds.
func inMessages(list []wanted) func(yield func([]wanted) bool) {
	return func(yield func([]wanted) bool) {
		for len(list) > 0 {
			end, bytes := 0, int64(0)
			for end < min(len(list), manyNames) && (end == 0 || bytes+list[end].record.Size <= contentsBytes) {
				bytes += list[end].record.Size
				end++
			}
			if !yield(list[:end]) {
				return
			}
			list = list[end:]
		}
	}
}

// contentsAt reads small contents at one machine. Those that it does not give, or
// that are damaged, are nil.
func (n *Node) contentsAt(ctx context.Context, m MachineID, of []wanted) [][]byte {
	contents := make([][]byte, len(of))
	if m == n.self() {
		for i, w := range of {
			if raw, ok := n.store.ReadSmall(w.record.Name, w.record.SHA256, w.record.Size); ok {
				contents[i] = raw
			}
		}
		return contents
	}
	req := contentsRequest{Of: make([]contentRequest, len(of))}
	for i, w := range of {
		req.Of[i] = contentRequest{Name: w.record.Name, SHA256: w.record.SHA256, Size: w.record.Size}
	}
	var reply contentsReply
	ctx, cancel := context.WithTimeout(ctx, 2*contentsLimit)
	defer cancel()
	err := n.net.Call(ctx, n.members.peer(m), callContents, req, &reply)
	if err == nil && len(reply.Chunks) != len(of) {
		err = fmt.Errorf("%w: %d answers about %d contents", errBadReply, len(reply.Chunks), len(of))
	}
	if err != nil {
		n.log.Debug("contents do not come together", "peer", n.members.label(m), "err", err)
		return contents
	}
	for i, chunk := range reply.Chunks {
		if raw, err := n.unpackSmall(of[i].record, chunk, n.coding.decode.View); err == nil {
			contents[i] = raw
		} else {
			n.log.Debug("a content does not come with others", "name", of[i].record.Name, "peer", n.members.label(m), "err", err)
		}
	}
	return contents
}
