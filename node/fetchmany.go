package node

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/filestore"
)

// fetchedAlone are the files of FetchMany that are read one by one at the same time.
const fetchedAlone = 128

// FetchMany opens many files as Fetch opens each, and hands them over by their place
// in names, in the order in which they are at hand, with the error where there is one.
// Contents of up to inline bytes have been asked for then. yield is called by several
// goroutines and ends what it gets with Close. FetchMany returns when all are dealt
// with.
//
// Registers and small contents are read together where they can be, see readMany and
// readContents.
func (n *Node) FetchMany(ctx context.Context, names []string, o FetchOptions, inline int64, yield func(i int, f *Fetched, err error)) {
	var all errgroup.Group
	all.SetLimit(fetchedAlone)
	alone := func(i int) {
		all.Go(func() error {
			f, err := n.Fetch(ctx, names[i], o)
			yield(i, f, err)
			return nil
		})
	}
	defer func() { _ = all.Wait() }() // none fails
	first := 0
	for part := range slices.Chunk(names, manyNames) {
		opened := n.fetchTogether(ctx, part, o, inline, func(i int, f *Fetched) { yield(first+i, f, nil) })
		for i := range part {
			if !opened[i] {
				alone(first + i)
			}
		}
		first += len(part)
	}
}

// fetchTogether opens those of some files for which that can be done together, and
// says which.
func (n *Node) fetchTogether(ctx context.Context, names []string, o FetchOptions, inline int64, yield func(i int, f *Fetched)) []bool {
	opened := make([]bool, len(names))
	if o.Quorum != 0 || o.Offset != 0 || o.Length > 0 || len(names) < 2 {
		return opened
	}
	files := make([]*Fetched, len(names))
	from := map[MachineID][]wanted{}
	for i, f := range n.readMany(ctx, names, false) {
		rec := f.live()
		if rec == nil || !f.confirmed {
			continue
		}
		x, err := n.fetchedOf(ctx, f, o)
		if err != nil {
			continue
		}
		files[i] = x
		if rec.Size == 0 || rec.Size > min(inline, smallContent) || len(x.pull.sources) == 0 {
			opened[i] = true
			yield(i, x)
			continue
		}
		best := x.pull.sources[0].machine
		from[best] = append(from[best], wanted{i, rec})
	}
	n.readContents(ctx, from, func(i int, m MachineID, content []byte) {
		opened[i] = true
		files[i].pull.begunWith(m, content)
		yield(i, files[i])
	})
	return opened
}

// begunWith is open for a small content that has come from a machine already.
func (p *pull) begunWith(m MachineID, content []byte) {
	p.sources = slices.DeleteFunc(p.sources, func(c candidate) bool { return c.machine == m })
	p.hashes = []filestore.Hash{p.record.SHA256}
	p.reads(&wholeSource{view: func() ([]byte, error) { return content, nil }}, candidate{machine: m})
}
