package node

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// Fetch opens a file. Its content comes from the best holder, every chunk
// checked before it is passed on, and goes on at another holder from the last
// good chunk when one fails. The errors, wrapped in an OpError, are
// ErrNotFound, ErrUnavailable, ErrBadOption and, from reading, filestore.ErrCorrupt when no
// holder has an undamaged copy. ctx bounds the whole fetch. Read it, or Save it
// into a file.
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
	if o.Quorum == 1 {
		f, err = n.glance(ctx, name)
	} else if err = n.checkReadQuorum(o.Quorum); err == nil {
		f, err = n.findBy(ctx, name, o.Quorum)
	}
	if err != nil {
		return nil, err
	}
	x, err := n.fetchedOf(ctx, f, o)
	if err != nil || o.Lazy {
		return x, err
	}
	return x, x.begin()
}

// fetchedOf is the fetch of what was found, and is live.
func (n *Node) fetchedOf(ctx context.Context, f found, o FetchOptions) (*Fetched, error) {
	rec := f.live()
	if o.Offset < 0 || o.Offset > rec.Size {
		return nil, fmt.Errorf("%w: offset %d of %d bytes", ErrBadRange, o.Offset, rec.Size)
	}
	end := rec.Size
	if o.Length > 0 && o.Length < end-o.Offset {
		end = o.Offset + o.Length
	}
	here := sync.OnceValue(func() bool { return !f.notHere && n.store.Holds(rec.Name, rec.SHA256) })
	x := &Fetched{
		file: File{Record: *rec, Key: chord.KeyOf(rec.Name), Role: n.roleIf(rec, here), Want: rec.Wanted(), Confirmed: f.confirmed},
		pull: pull{node: n, ctx: ctx, record: *rec, sources: untried(n.rankIf(rec, f.holders, here)), next: o.Offset / filestore.ChunkSize},
		at:   o.Offset, end: end,
	}
	x.pull.last, x.pull.gauge.wanted = int64(filestore.ChunkCount(end)), true
	return x, nil
}

// glance takes the first answer that names content, confirmed by nobody else:
// this node's own, else that of the fastest of the group.
func (n *Node) glance(ctx context.Context, name string) (found, error) {
	if err := filestore.ValidateName(name); err != nil {
		return found{}, err
	}
	p, err := n.placeNear(ctx, chord.KeyOf(name))
	if err != nil {
		return found{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	to := machinesOf(p.group())
	if r, err := n.store.Register(name); err == nil && r.Held {
		to = []MachineID{n.self()}
	}
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
	}
	return n.find(ctx, name) // nobody at hand has it: ask properly
}

// checkReadQuorum returns nil for a read quorum that one fetch may ask for.
func (n *Node) checkReadQuorum(asked int) error {
	g := n.genesis()
	switch {
	case asked == 0:
		return nil
	case asked < g.R:
		return fmt.Errorf("%w: a read quorum of %d: this ring asks %d nodes, and only more can be asked for, or 1", ErrBadOption, asked, g.R)
	case asked > g.N:
		return fmt.Errorf("%w: a read quorum of %d: this ring keeps each name on %d nodes", ErrBadOption, asked, g.N)
	}
	return nil
}

// rank orders those who may have a record's content: this node, those that said
// they hold it by their round trip, then the other voters.
func (n *Node) rank(rec *filestore.Record, holders []MachineID) []MachineID {
	return n.rankIf(rec, holders, func() bool { return n.store.Holds(rec.Name, rec.SHA256) })
}

// rankIf is rank where here reports whether this node holds the content.
func (n *Node) rankIf(rec *filestore.Record, holders []MachineID, here func() bool) []MachineID {
	if !slices.Contains(holders, n.self()) && here() {
		holders = append(slices.Clone(holders), n.self()) // it was not among the first to say so
	}
	cost := func(m MachineID) int64 {
		c := int64(0)
		if !slices.Contains(holders, m) {
			c = 1 << 50
		}
		if n.slow.lately(m) {
			c += 1 << 48
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

// Begin asks for the content after a Lazy fetch, so that failures show now.
func (f *Fetched) Begin() error {
	if err := f.begin(); err != nil {
		return &OpError{Op: "fetch", Name: f.file.Record.Name, Err: err}
	}
	return nil
}

func (f *Fetched) begin() error {
	if f.at == f.end || f.pull.current != nil {
		return nil
	}
	return f.pull.open()
}

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

// ReadAll returns the rest of the content, for which there is room in memory. What has
// come as a whole is not copied.
func (f *Fetched) ReadAll() ([]byte, error) {
	if len(f.rest) == 0 && f.at < f.end {
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
	if _, whole := f.pull.current.(*wholeSource); whole && f.at == f.end {
		all := f.rest
		f.rest = nil
		return all, nil
	}
	all := make([]byte, int64(len(f.rest))+f.end-f.at)
	_, err := io.ReadFull(f, all)
	return all, err
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
