package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// Fetch opens a file. Its content comes from the best holder, every chunk
// checked before it is passed on, and goes on at another holder from the last
// good chunk when one fails. The errors, wrapped in an OpError, are
// ErrNotFound, ErrUnavailable and, from reading, filestore.ErrCorrupt when no
// holder has an undamaged copy. ctx bounds the whole fetch.
func (n *Node) Fetch(ctx context.Context, name string, o FetchOptions) (*Fetched, error) {
	f, err := n.openFetch(ctx, name, o)
	if err != nil {
		return nil, &OpError{Op: "fetch", Name: name, Err: err}
	}
	return f, nil
}

func (n *Node) openFetch(ctx context.Context, name string, o FetchOptions) (*Fetched, error) {
	var f found
	var err error
	if o.Unconfirmed {
		f, err = n.glance(ctx, name)
	} else {
		f, err = n.find(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	rec := f.live()
	if o.Offset < 0 || o.Offset > rec.Size {
		return nil, fmt.Errorf("%w: offset %d of %d bytes", ErrBadRange, o.Offset, rec.Size)
	}
	end := rec.Size
	if o.Length > 0 && o.Length < end-o.Offset {
		end = o.Offset + o.Length
	}
	x := &Fetched{
		file: File{Record: *rec, Key: chord.KeyOf(name), Role: n.role(rec), Want: rec.Wanted(), Confirmed: f.confirmed},
		pull: pull{node: n, ctx: ctx, record: *rec, sources: n.rank(rec, f.holders), next: o.Offset / filestore.ChunkSize},
		at:   o.Offset, end: end,
	}
	x.pull.last = int64(filestore.ChunkCount(end))
	if x.at < x.end {
		if err := x.pull.open(); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// glance takes the first answer that names content, confirmed by nobody else:
// this node's own, else that of the fastest of the group.
func (n *Node) glance(ctx context.Context, name string) (found, error) {
	if err := filestore.ValidateName(name); err != nil {
		return found{}, err
	}
	p, err := n.place(ctx, chord.KeyOf(name))
	if err != nil {
		return found{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	to := machinesOf(p.group())
	if r, err := n.store.Register(name); err == nil && r.Held {
		to = []MachineID{n.self()}
	}
	knew := false
	answers := ask(n, to, func(m MachineID) (found, error) {
		a, err := n.sendRead(ctx, m, name)
		f := found{record: a.Record}
		f.view.Basis = a.Accepted
		if a.Held {
			f.holders = []MachineID{m}
		}
		return f, err
	})
	for range to {
		a := <-answers
		if a.err == nil && a.is.live() != nil && len(a.is.holders) > 0 {
			return a.is, nil
		}
		knew = knew || a.err == nil && a.is.record != nil
	}
	if knew {
		return found{}, ErrNotFound
	}
	return n.find(ctx, name) // nobody at hand knows: ask properly
}

// rank orders those who may have a record's content: this node, those that said
// they hold it by their round trip, then the other voters.
func (n *Node) rank(rec *filestore.Record, holders []MachineID) []MachineID {
	if !slices.Contains(holders, n.self()) && n.store.Holds(rec.Name, rec.SHA256) {
		holders = append(slices.Clone(holders), n.self()) // it was not among the first to say so
	}
	cost := func(m MachineID) int64 {
		c := int64(0)
		if !slices.Contains(holders, m) {
			c = 1 << 50
		}
		if m == n.self() {
			return c
		}
		rtt, ok := n.net.RTT(m)
		if !ok {
			return c + 1<<40
		}
		return c + 1 + int64(rtt)
	}
	l := slices.Clone(holders)
	for _, m := range rec.Voters.All() {
		if !slices.Contains(l, m) {
			l = append(l, m)
		}
	}
	slices.SortStableFunc(l, func(a, b MachineID) int { return int(min(1, max(-1, cost(a)-cost(b)))) })
	return l
}

// Fetched is an open fetch: what the file is, then its content. It is used by
// one goroutine; Close it.
type Fetched struct {
	file    File
	pull    pull
	at, end int64 // bytes of the file: the next to be read, and where to stop
	rest    []byte
}

// File describes what is being fetched. Copies and Holders are not filled in.
func (f *Fetched) File() File { return f.file }

// From names the nodes that content has come from so far.
func (f *Fetched) From() []string { return f.pull.from }

// Read returns verified bytes of the content.
func (f *Fetched) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.at >= f.end {
			return 0, io.EOF
		}
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	k := copy(p, f.rest)
	f.rest = f.rest[k:]
	return k, nil
}

// WriteTo writes the rest of the content, chunk by chunk.
func (f *Fetched) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(f.rest) == 0 {
			if f.at >= f.end {
				return total, nil
			}
			if err := f.fill(); err != nil {
				return total, err
			}
		}
		k, err := w.Write(f.rest)
		total += int64(k)
		f.rest = f.rest[k:]
		if err != nil {
			return total, err
		}
	}
}

// fill gets the next chunk, of which there is one, and keeps of it what is wanted.
func (f *Fetched) fill() error {
	index := f.at / filestore.ChunkSize
	raw, err := f.pull.chunk()
	if err != nil {
		return &OpError{Op: "fetch", Name: f.file.Record.Name, Err: err}
	}
	begin := index * filestore.ChunkSize
	f.rest = raw[f.at-begin : min(int64(len(raw)), f.end-begin)]
	f.at = begin + min(int64(len(raw)), f.end-begin)
	return nil
}

// Close ends the fetch.
func (f *Fetched) Close() error {
	f.pull.close()
	return nil
}

// source is one holder that chunks are read from.
type source interface {
	// chunk returns the next chunk, checked; the bytes are good until the next call.
	chunk() ([]byte, error)
	close()
}

// pull reads the chunks of one content in order, from one source at a time.
type pull struct {
	node    *Node
	ctx     context.Context // of the operation that the pull is a part of
	record  filestore.Record
	sources []MachineID // not tried yet
	next    int64       // chunk
	last    int64       // chunk to stop before

	hashes  []filestore.Hash // of all chunks, once a source has shown them
	current source
	from    []string
	errs    []error
}

// open finds a source that begins to answer.
func (p *pull) open() error {
	for len(p.sources) > 0 {
		m := p.sources[0]
		p.sources = p.sources[1:]
		s, err := p.node.openSource(p.ctx, m, p)
		if err != nil {
			p.failed(m, err)
			continue
		}
		p.current = s
		p.from = append(p.from, p.node.members.label(m))
		return nil
	}
	for _, err := range p.errs {
		if errors.Is(err, filestore.ErrCorrupt) || errors.Is(err, transfer.ErrCorrupt) {
			return fmt.Errorf("%w: %w", filestore.ErrCorrupt, errors.Join(p.errs...))
		}
	}
	return fmt.Errorf("%w: no holder of the content answers: %w", ErrUnavailable, errors.Join(p.errs...))
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
		p.errs = append(p.errs, fmt.Errorf("%s: %w", p.from[len(p.from)-1], err))
		p.node.log.Info("a source of a file failed", "name", p.record.Name, "peer", p.from[len(p.from)-1], "err", err)
	}
}

func (p *pull) close() {
	if p.current != nil {
		p.current.close()
		p.current = nil
	}
}

// openSource begins to read chunks p.next up to p.last at one machine.
func (n *Node) openSource(ctx context.Context, m MachineID, p *pull) (source, error) {
	if m == n.self() {
		c, err := n.store.Open(p.record.Name, p.record.SHA256)
		if err != nil {
			return nil, err
		}
		return &localSource{content: c, next: p.next, buf: make([]byte, filestore.ChunkSize)}, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	patience := time.AfterFunc(chunkLimit, cancel)
	h := fetchHeader{Name: p.record.Name, SHA256: p.record.SHA256, First: p.next, Last: p.last, Hashes: p.hashes == nil}
	s, err := n.net.Open(ctx, n.members.peer(m), streamFetch, h)
	if err != nil {
		cancel()
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
	return &remoteSource{
		stream: s, hashes: p.hashes, next: p.next, last: p.last, decode: &n.coding.decode,
		patience: patience, cancel: cancel,
	}, nil
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

// localSource reads from this node's own store.
type localSource struct {
	content *filestore.Content
	next    int64
	buf     []byte
}

func (l *localSource) chunk() ([]byte, error) {
	k, err := l.content.ReadChunk(int(l.next), l.buf)
	l.next++
	return l.buf[:k], err
}

func (l *localSource) close() { _ = l.content.Close() }

// remoteSource reads from another node.
type remoteSource struct {
	stream     *transfer.Stream
	hashes     []filestore.Hash
	next, last int64
	decode     *transfer.Decoder
	raw        []byte
	ended      bool
	patience   *time.Timer // ends the stream when the next chunk is too long in coming
	cancel     context.CancelFunc
}

// chunkLimit is how long one chunk may take. A holder whose disk hangs gives
// signs of life all the same.
const chunkLimit = 30 * time.Second

func (r *remoteSource) chunk() ([]byte, error) {
	r.patience.Reset(chunkLimit)
	defer r.patience.Stop()
	c, err := r.stream.ReadChunk()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	defer c.Release()
	if filestore.Hash(c.Sum) != r.hashes[r.next] {
		return nil, fmt.Errorf("%w: chunk %d", filestore.ErrCorrupt, r.next)
	}
	r.raw, err = r.decode.Decode(c, r.raw[:0])
	if err != nil {
		return nil, err
	}
	if r.next++; r.next == r.last {
		r.ended = true
	}
	return r.raw, nil
}

func (r *remoteSource) close() {
	defer r.cancel()
	r.patience.Stop()
	if r.ended {
		if _, err := r.stream.ReadChunk(); errors.Is(err, io.EOF) && r.stream.Close() == nil {
			return
		}
	}
	r.stream.Abort(ErrInterrupted)
}

// onFetch serves content from this node's store.
func (n *Node) onFetch(ctx context.Context, h fetchHeader, s *transfer.Stream) error {
	c, err := n.store.Open(h.Name, h.SHA256)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	sums, err := c.Hashes()
	if err != nil {
		return err
	}
	last := int64(len(sums))
	if h.Last > 0 {
		last = min(last, h.Last)
	}
	if h.First < 0 || h.First > last {
		return ErrBadRange
	}
	if err := s.Send(fetchReply{Size: c.Size(), Root: filestore.RootOf(c.Size(), sums)}); err != nil {
		return err
	}
	if h.Hashes {
		for part := range slices.Chunk(sums, hashesPerMessage) {
			if err := s.Send(hashList{Sums: part}); err != nil {
				return err
			}
		}
	}
	r := &chunkReader{content: c, next: h.First, last: last}
	if _, err := n.coding.serve.EncodeStream(ctx, r, s.WriteChunk); err != nil {
		return err
	}
	return s.EndChunks()
}

// chunkReader reads chunks one a call into buffers that have room for a whole one.
type chunkReader struct {
	content    *filestore.Content
	next, last int64
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if r.next == r.last {
		return 0, io.EOF
	}
	k, err := r.content.ReadChunk(int(r.next), p)
	r.next++
	return k, err
}
