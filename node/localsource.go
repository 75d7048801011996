package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// errNoAnswer is why a read of a disk was given up.
var errNoAnswer = errors.New("the disk has not answered")

// localSource reads from this node's own store. Where the disk does not answer it
// is given up like any other source that is slow, and what was begun is left to
// end by itself.
type localSource struct {
	pull    *pull
	content *filestore.Content // nil once given up
	check   bool
	next    int64
	buf     []byte
	limit   time.Duration // for the next chunk
}

// opened is a content with the hashes of its chunks, or, if it is small, its bytes.
type opened struct {
	content *filestore.Content
	hashes  []filestore.Hash
	small   []byte
}

func (n *Node) openLocal(at candidate, p *pull) (source, error) {
	known, limit := p.hashes, p.startLimit()
	o, _, err := fromDisk(p, limit, func() (o opened, err error) {
		if raw, ok := n.store.ReadSmall(p.record.Name, p.record.SHA256, p.record.Size); ok && len(raw) > 0 {
			return opened{hashes: []filestore.Hash{p.record.SHA256}, small: raw}, nil
		}
		if o.content, err = n.store.Open(p.record.Name, p.record.SHA256); err != nil {
			return o, err
		}
		if o.hashes = known; known == nil {
			if o.hashes, err = o.content.Hashes(); err != nil {
				_ = o.content.Close()
			}
		}
		return o, err
	}, func(o opened, err error) {
		if err == nil && o.content != nil {
			_ = o.content.Close()
		}
	})
	if err != nil {
		return nil, err
	}
	p.hashes = o.hashes
	if o.small != nil {
		return &wholeSource{view: func() ([]byte, error) { return o.small, nil }}, nil
	}
	return &localSource{
		pull: p, content: o.content, check: at.check, next: p.next, buf: make([]byte, min(filestore.ChunkSize, p.record.Size)), limit: limit,
	}, nil
}

func (l *localSource) chunk() ([]byte, error) {
	c, next := l.content, int(l.next)
	k, givenUp, err := fromDisk(l.pull, l.limit, func() (k int, err error) {
		if l.pull.blind && !l.check {
			k, _, err = c.ReadUnchecked(next, l.buf)
			return k, err
		}
		return c.ReadChunk(next, l.buf)
	}, func(int, error) { _ = c.Close() })
	if givenUp {
		l.content = nil
		return nil, err
	}
	l.next++
	l.limit = chunkLimit
	return l.buf[:k], err
}

func (l *localSource) close() {
	if l.content != nil {
		_ = l.content.Close()
	}
}

// fromDisk is patiently for this node's disk, which is avoided for a while after it has
// not answered.
func fromDisk[T any](p *pull, limit time.Duration, read func() (T, error), late func(T, error)) (got T, givenUp bool, err error) {
	got, givenUp, err = patiently(p, limit, read, late)
	if givenUp && errors.Is(err, errNoAnswer) {
		p.node.slow.note(p.node.self())
	}
	return got, givenUp, err
}

// patiently returns what read gets from a disk. It gives up after a limit, and when the
// pull ends; late then gets what comes all the same.
func patiently[T any](p *pull, limit time.Duration, read func() (T, error), late func(T, error)) (got T, givenUp bool, err error) {
	type result struct {
		got T
		err error
	}
	done, gone := make(chan result), make(chan struct{})
	if !p.node.tasks.run(func() {
		got, err := read()
		select {
		case done <- result{got, err}:
		case <-gone:
			late(got, err)
		}
	}) {
		return got, false, ErrLeaving
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.got, false, r.err
	case <-timer.C:
		err = fmt.Errorf("%w for %v", errNoAnswer, limit)
	case <-p.ctx.Done():
		err = p.ctx.Err()
	}
	close(gone)
	return got, true, err
}
