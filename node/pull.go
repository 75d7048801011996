package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// source is one holder that chunks are read from.
type source interface {
	// chunk returns the next chunk, checked; the bytes are good until the next call.
	chunk() ([]byte, error)
	close()
}

// candidate is a machine that may have a content.
type candidate struct {
	machine MachineID
	check   bool // it is to check what it reads before it sends it
}

// untried makes candidates of machines. None has to check what it reads, as this
// node does when it arrives; one that is found to send damage is asked again.
func untried(machines []MachineID) []candidate {
	l := make([]candidate, len(machines))
	for i, m := range machines {
		l[i].machine = m
	}
	return l
}

// pull reads the chunks of one content in order, from one source or, where that is
// faster, from several at once.
type pull struct {
	node    *Node
	ctx     context.Context // of the operation that the pull is a part of
	record  filestore.Record
	sources []candidate // not tried yet
	blind   bool        // the caller checks the content as a whole
	next    int64       // chunk
	last    int64       // chunk to stop before

	hashes  []filestore.Hash // of all chunks, once a source has shown them
	current source
	using   candidate // where current reads
	from    []string
	errs    []error

	gauge gauge

	slow     []MachineID // given up only because they were
	resorted bool        // the last resorts are among the sources
}

// open finds a source that begins to answer.
func (p *pull) open() error {
	for {
		if len(p.sources) == 0 && !p.resorted && p.ctx.Err() == nil {
			p.sources, p.resorted = untried(p.lastResorts()), true
		}
		if len(p.sources) == 0 {
			break
		}
		c := p.sources[0]
		p.sources = p.sources[1:]
		s, err := p.node.openSource(p.ctx, c, p)
		if err != nil {
			p.failed(c.machine, err)
			p.retryLater(c.machine)
			continue
		}
		p.reads(s, c)
		return nil
	}
	for _, err := range p.errs {
		if damaged(err) {
			return fmt.Errorf("%w: %w", filestore.ErrCorrupt, errors.Join(p.errs...))
		}
	}
	return fmt.Errorf("%w: no holder of the content answers: %w", ErrUnavailable, errors.Join(p.errs...))
}

// reads goes on with a source.
func (p *pull) reads(s source, at candidate) {
	p.current, p.using = s, at
	if label := p.node.members.label(at.machine); !slices.Contains(p.from, label) {
		p.from = append(p.from, label)
	}
}

// damaged reports whether an error tells of content that is not what it should be.
func damaged(err error) bool {
	return errors.Is(err, filestore.ErrCorrupt) || errors.Is(err, transfer.ErrCorrupt)
}

func (p *pull) failed(m MachineID, err error) {
	p.node.log.Info("a source of a file failed", "name", p.record.Name, "peer", p.node.members.label(m), "err", err)
	p.errs = append(p.errs, fmt.Errorf("%s: %w", p.node.members.label(m), err))
}

// chunk returns the next chunk from whichever source has it.
func (p *pull) chunk() ([]byte, error) {
	for {
		if err := p.ctx.Err(); err != nil {
			return nil, err
		}
		p.widen()
		if p.current == nil {
			if err := p.open(); err != nil {
				return nil, err
			}
		}
		raw, err := p.current.chunk()
		if err == nil {
			p.next++
			return raw, nil
		}
		p.close()
		p.failed(p.using.machine, err)
		p.retryLater(p.using.machine)
		if damaged(err) && !p.using.check { // it finds out for itself, and gives its copy up
			p.sources = slices.Insert(p.sources, 0, candidate{p.using.machine, true})
		}
	}
}

func (p *pull) close() {
	if p.current != nil {
		p.current.close()
		p.current = nil
	}
}

// openSource begins to read chunks p.next up to p.last at one machine.
func (n *Node) openSource(ctx context.Context, at candidate, p *pull) (source, error) {
	m := at.machine
	switch {
	case m == n.self():
		return n.openLocal(at, p)
	case isSmall(p.record.Size): // and not empty, as there is something to read
		return n.openSmall(ctx, at, p)
	}
	return n.openRemote(ctx, at, p)
}

func (n *Node) openRemote(ctx context.Context, at candidate, p *pull) (_ source, err error) {
	m := at.machine
	ctx, cancel := context.WithCancel(ctx)
	limit := p.startLimit()
	patience := n.patienceWith(m, limit, cancel)
	defer func() {
		if err != nil { // it has failed, and is not slow
			patience.Stop()
			cancel()
		}
	}()
	h := fetchHeader{Name: p.record.Name, SHA256: p.record.SHA256, First: p.next, Last: p.last, Hashes: p.hashes == nil, Check: at.check}
	s, err := n.net.Open(ctx, n.members.peer(m), streamFetch, h)
	if err != nil {
		return nil, err
	}
	var reply fetchReply
	if err := s.Receive(&reply); err != nil {
		s.Abort(ErrInterrupted)
		return nil, unexpectedEnd(err)
	}
	if h.Hashes {
		p.hashes, err = receiveHashes(s, &p.record)
		if err != nil {
			s.Abort(ErrInterrupted)
			return nil, err
		}
	}
	return &remoteSource{pull: p, stream: s, next: p.next, last: p.last, patience: patience, limit: limit, cancel: cancel}, nil
}

// unexpectedEnd makes sure that the end of a stream is not taken for the end of
// the content.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// receiveHashes reads the hash lists and checks them against the root.
func receiveHashes(s *transfer.Stream, rec *filestore.Record) ([]filestore.Hash, error) {
	count := filestore.ChunkCount(rec.Size)
	var all []filestore.Hash
	for len(all) < count {
		var l hashList
		if err := s.Receive(&l); err != nil {
			return nil, unexpectedEnd(err)
		}
		if len(l.Sums) == 0 || len(l.Sums) > count-len(all) {
			return nil, errBadReply
		}
		all = append(all, l.Sums...)
	}
	if filestore.RootOf(rec.Size, all) != rec.Root {
		return nil, fmt.Errorf("%w: the hash list does not match", filestore.ErrCorrupt)
	}
	return all, nil
}

// remoteSource reads from another node.
type remoteSource struct {
	pull       *pull
	stream     *transfer.Stream
	next, last int64
	held       transfer.Chunk // whose payload was given out
	raw        []byte         // where compressed chunks are decoded
	ended      bool
	patience   *time.Timer // ends the stream when the next chunk is too long in coming
	limit      time.Duration
	cancel     context.CancelFunc
}

// chunkLimit is how long one chunk may take. A holder whose disk hangs gives
// signs of life all the same.
const chunkLimit = 30 * time.Second

func (r *remoteSource) chunk() ([]byte, error) {
	r.release()
	r.patience.Reset(r.limit)
	r.limit = chunkLimit
	defer r.patience.Stop()
	c, err := r.stream.ReadChunk()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	r.held = c
	if filestore.Hash(c.Sum) != r.pull.hashes[r.next] {
		return nil, fmt.Errorf("%w: chunk %d", filestore.ErrCorrupt, r.next)
	}
	view := r.pull.node.coding.decode.View
	if r.pull.blind {
		view = r.pull.node.coding.decode.Unchecked
	}
	raw, err := view(c, r.raw)
	if err != nil {
		return nil, err
	}
	if c.Flags&transfer.FlagZstd != 0 {
		r.raw = raw
	}
	if r.next++; r.next == r.last {
		r.ended = true
	}
	return raw, nil
}

// release takes back what chunk gave out last.
func (r *remoteSource) release() {
	r.held.Release()
	r.held = transfer.Chunk{}
}

func (r *remoteSource) close() {
	defer r.cancel()
	r.release()
	r.patience.Stop()
	if r.ended {
		if _, err := r.stream.ReadChunk(); errors.Is(err, io.EOF) && r.stream.Close() == nil {
			return
		}
	}
	r.stream.Abort(ErrInterrupted)
}
