package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// Small content, up to smallContent bytes of known length, is one chunk, or none. It goes
// in calls instead of streams, on its way to the coordinator, to the voters and to
// who fetches it: a call to a peer that is busy travels together with others of its
// kind, see transfer.CallJoined. So what many files at once cost is not a round
// trip each. What is done with a content is the same either way, and what is said
// of streams in this package is meant of these calls, too.

// How long the calls that carry small content may take.
const (
	smallStage = sealTimeout
	smallStore = sealTimeout + changeTimeout // what a coordinator may take
)

// smallChunk is a small content on the wire. Its SHA-256 is the record's. Raw is 0
// where there is no content.
type smallChunk struct {
	Raw     int            `cbor:"1,keyasint"`
	Flags   transfer.Flags `cbor:"2,keyasint,omitempty"`
	Payload []byte         `cbor:"3,keyasint"`
}

func wireChunk(c transfer.Chunk) smallChunk { return smallChunk{c.Raw, c.Flags, c.Payload} }

// chunk is what came over the wire, to be checked.
func (s smallChunk) chunk(sum filestore.Hash) (transfer.Chunk, error) {
	if s.Raw < 0 || s.Raw > smallContent || s.Raw == 0 && len(s.Payload) > 0 {
		return transfer.Chunk{}, fmt.Errorf("%w: small content of %d bytes", errBadRequest, s.Raw)
	}
	return transfer.Chunk{Raw: s.Raw, Flags: s.Flags, Sum: sum, Payload: s.Payload}, nil
}

// passOn writes a small content, unless there is none.
func passOn(c transfer.Chunk, write func(transfer.Chunk) error) error {
	if c.Raw == 0 {
		return nil
	}
	return write(c)
}

// stageRequest is a stream of streamStage in a call.
type stageRequest struct {
	Record filestore.Record `cbor:"1,keyasint"`
	Chunk  smallChunk       `cbor:"2,keyasint"`
}

// storeRequest is a stream of streamStore in a call.
type storeRequest struct {
	Header  storeHeader    `cbor:"1,keyasint"`
	Trailer contentTrailer `cbor:"2,keyasint"`
	Chunk   smallChunk     `cbor:"3,keyasint"`
}

// contentRequest asks for a small content; the answer is a smallChunk.
type contentRequest struct {
	Name   string         `cbor:"1,keyasint"`
	SHA256 filestore.Hash `cbor:"2,keyasint"`
	Check  bool           `cbor:"3,keyasint,omitempty"` // check what is read before it is sent
	Size   int64          `cbor:"4,keyasint,omitempty"` // that it should have; 0: not said
}

// isSmall reports whether a content of so many bytes goes in calls.
func isSmall(size int64) bool { return 0 <= size && size <= smallContent }

// callSink stages a small content at another node, by one call once it is whole.
type callSink struct {
	node    *Node
	ctx     context.Context // of the branch
	machine MachineID
	held    transfer.Chunk
	chunks  int
}

func (s *callSink) write(c transfer.Chunk) error {
	if s.chunks++; s.chunks > 1 || c.Raw > smallContent {
		return fmt.Errorf("%w: there is more content than was announced", ErrInterrupted)
	}
	c.Retain()
	s.held = c
	return nil
}

func (s *callSink) seal(rec filestore.Record) error {
	defer s.abort()
	ctx, cancel := context.WithTimeout(s.ctx, smallStage)
	defer cancel()
	req := stageRequest{Record: rec, Chunk: wireChunk(s.held)}
	return s.node.net.CallJoined(ctx, s.node.members.peer(s.machine), callStage, req, nil, 0)
}

func (s *callSink) abort() {
	s.held.Release()
	s.held = transfer.Chunk{}
}

// onStageSmall receives small content from a coordinator and seals it.
func (n *Node) onStageSmall(ctx context.Context, r stageRequest, from MachineID) error {
	if n.state.leaving.Load() {
		return ErrLeaving
	}
	c, err := r.Chunk.chunk(r.Record.SHA256)
	if err != nil {
		return err
	}
	if err := n.checkPublished(ctx, &r.Record, from); err != nil {
		return err
	}
	l, err := n.stageHere(r.Record.Name, int64(c.Raw))
	if err != nil {
		return err
	}
	if err := passOn(c, l.write); err != nil {
		l.abort()
		return err
	}
	return l.seal(r.Record)
}

// storeInCall sends a small store to its coordinator.
func (n *Node) storeInCall(ctx context.Context, m MachineID, h storeHeader, f *feed) (reply changeReply, err error) {
	chunk, t, err := f.whole()
	if err != nil {
		return changeReply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, smallStore)
	defer cancel()
	req := storeRequest{Header: h, Trailer: t, Chunk: wireChunk(chunk)}
	err = n.net.CallJoined(ctx, n.members.peer(m), callStore, req, &reply, votedReply)
	n.silence.note(m, err)
	return reply, err
}

// onStoreSmall coordinates stores of small content that come from another node.
func (n *Node) onStoreSmall(ctx context.Context, requests []storeRequest, from MachineID) []*creation {
	results := make([]*creation, len(requests))
	var list []*creation
	for i, r := range requests {
		s := &creation{header: r.Header, trailer: r.Trailer}
		results[i] = s
		if s.chunk, s.err = n.checkStore(&r, from); s.err == nil {
			list = append(list, s)
		}
	}
	n.coordinateSmall(ctx, list)
	return results
}

// checkStore checks what came from another machine.
func (n *Node) checkStore(r *storeRequest, from MachineID) (transfer.Chunk, error) {
	if r.Header.Publisher != from {
		return transfer.Chunk{}, fmt.Errorf("%w: a store in another machine's name", transfer.ErrDenied)
	}
	if n.state.leaving.Load() {
		return transfer.Chunk{}, ErrLeaving
	}
	c, err := r.Chunk.chunk(r.Trailer.SHA256)
	if err == nil && r.Header.Size != int64(c.Raw) {
		err = errBadRequest
	}
	return c, err
}

// smallFeed is a small content that was read, so that it can be sent again.
type smallFeed struct {
	chunk   transfer.Chunk // Raw is 0 where there is no content
	trailer contentTrailer
}

// whole is a small content as one chunk, which stays the feed's. It is read once;
// sending it once more, under the same operation ID, is what the client would do otherwise.
func (f *feed) whole() (transfer.Chunk, contentTrailer, error) {
	if f.small == nil {
		raw, err := f.readSmall()
		if err != nil {
			return transfer.Chunk{}, contentTrailer{}, err
		}
		size := int64(len(raw))
		if err := f.header.checkSize(size); err != nil {
			return transfer.Chunk{}, contentTrailer{}, err
		}
		c := transfer.Chunk{Sum: sha256.Sum256(nil)}
		var sums []filestore.Hash
		if size > 0 {
			if c, err = f.encoder.Encode(raw); err != nil {
				return transfer.Chunk{}, contentTrailer{}, err
			}
			sums = []filestore.Hash{c.Sum}
		}
		f.small = &smallFeed{c, f.signed(contentTrailer{Size: size, SHA256: c.Sum, Root: filestore.RootOf(size, sums)})}
		f.sent = int64(len(c.Payload))
	}
	return f.small.chunk, f.small.trailer, nil
}

// readSmall reads all there is, but no more than one byte too many.
func (f *feed) readSmall() ([]byte, error) {
	raw := make([]byte, f.header.Size+1)
	k := 0
	for k < len(raw) {
		more, err := f.content.Read(raw[k:])
		k += more
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
	}
	return raw[:k], nil
}

// close gives back what was read.
func (f *feed) close() {
	if f.small != nil {
		f.small.chunk.Release()
	}
}

// wholeSource is a content of one chunk that is at hand.
type wholeSource struct {
	view func() ([]byte, error)
	read bool
}

func (s *wholeSource) chunk() ([]byte, error) {
	if s.read {
		return nil, io.ErrUnexpectedEOF
	}
	s.read = true
	return s.view()
}

func (s *wholeSource) close() {}

// openSmall gets a small content from one machine.
func (n *Node) openSmall(ctx context.Context, at candidate, p *pull) (source, error) {
	rec := &p.record
	limit := p.startLimit()
	ctx, cancel := context.WithTimeout(ctx, limit+time.Second)
	defer cancel()
	defer n.patienceWith(at.machine, limit, cancel).Stop()
	req := contentRequest{Name: rec.Name, SHA256: rec.SHA256, Check: at.check, Size: rec.Size}
	var reply smallChunk
	if err := n.net.CallJoined(ctx, n.members.peer(at.machine), callContent, req, &reply, int(rec.Size)); err != nil {
		return nil, err
	}
	p.hashes = []filestore.Hash{rec.SHA256}
	view := n.coding.decode.View
	if p.blind {
		view = n.coding.decode.Unchecked
	}
	return &wholeSource{view: func() ([]byte, error) { return n.unpackSmall(rec, reply, view) }}, nil
}

// unpackSmall is the content of a record that came from another machine, checked by view.
func (n *Node) unpackSmall(rec *filestore.Record, s smallChunk, view func(transfer.Chunk, []byte) ([]byte, error)) ([]byte, error) {
	if filestore.RootOf(rec.Size, []filestore.Hash{rec.SHA256}) != rec.Root {
		return nil, fmt.Errorf("%w: the root does not match", filestore.ErrCorrupt)
	}
	c, err := s.chunk(rec.SHA256)
	if err != nil {
		return nil, err
	}
	if int64(c.Raw) != rec.Size {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", filestore.ErrCorrupt, c.Raw, rec.Size)
	}
	return view(c, nil)
}

// onContent serves a small content from this node's store, as onFetch does.
func (n *Node) onContent(r contentRequest) (smallChunk, error) {
	if raw, ok := n.store.ReadSmall(r.Name, r.SHA256, r.Size); ok && len(raw) > 0 {
		return n.packSmall(raw, r.SHA256)
	}
	c, err := n.store.Open(r.Name, r.SHA256)
	if err != nil {
		return smallChunk{}, err
	}
	defer func() { _ = c.Close() }()
	if c.Size() == 0 || !isSmall(c.Size()) {
		return smallChunk{}, ErrBadRange
	}
	buf := make([]byte, c.Size())
	var sum filestore.Hash
	if r.Check {
		_, err = c.ReadChunk(0, buf)
		sum = r.SHA256
	} else {
		_, sum, err = c.ReadUnchecked(0, buf)
	}
	if err != nil {
		return smallChunk{}, err
	}
	return n.packSmall(buf, sum)
}

func (n *Node) packSmall(raw []byte, sum filestore.Hash) (smallChunk, error) {
	packed, err := n.coding.serve.EncodeHashed(raw, sum)
	if err != nil {
		return smallChunk{}, err
	}
	return wireChunk(packed), nil // its payload goes to the garbage collector
}
