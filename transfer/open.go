package transfer

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// Open begins a stream to a peer with a header for its handler. The stream lives
// until Close or Abort, one of which must be called, and no longer than ctx.
func (e *Endpoint) Open(ctx context.Context, to Peer, kind uint16, header any) (*Stream, error) {
	body, err := Marshal(header)
	if err != nil {
		return nil, err
	}
	if len(body) > maxStreamHeader {
		return nil, fmt.Errorf("%w: stream header of %d bytes", ErrTooLarge, len(body))
	}
	var h [openHeader]byte
	binary.BigEndian.PutUint16(h[:], kind)
	if deadline, ok := ctx.Deadline(); ok {
		binary.BigEndian.PutUint32(h[2:], milliseconds(time.Until(deadline)))
	}
	for {
		p, b, pooled, err := e.bulkTo(ctx, to)
		if err != nil {
			return nil, err
		}
		b.begin()
		s := newStream(b)
		s.stop = context.AfterFunc(ctx, func() { b.fail(fmt.Errorf("stream: %w", context.Cause(ctx))) })
		s.free = func(clean bool) { e.giveBack(p, b, clean) }
		err = s.write(func(w *wire) error { return w.writeFrame(frameOpen, h[:], body) })
		if err == nil {
			return s, nil
		}
		s.finish(err)
		if !pooled || ctx.Err() != nil {
			return nil, err
		}
	}
}

// bulkTo takes an unused connection to the peer or makes one.
func (e *Endpoint) bulkTo(ctx context.Context, to Peer) (*peer, *bulk, bool, error) {
	for {
		p, err := e.peer(to)
		if err != nil {
			return nil, nil, false, err
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, false, fmt.Errorf("open: %w", err)
		}
		p.mu.Lock()
		if p.shutOff {
			p.mu.Unlock()
			continue
		}
		if n := len(p.idle); n > 0 {
			k := p.idle[n-1]
			p.idle = p.idle[:n-1]
			p.busy[k.bulk] = struct{}{}
			p.mu.Unlock()
			if time.Since(k.since) < e.cfg.Ping || k.alive(e.cfg.Ping) {
				return p, k.bulk, true, nil
			}
			continue // it has failed and is gone
		}
		dialCtx, d := p.dial(ctx, e.cfg.Handshake)
		e.wg.Add(1)
		p.mu.Unlock()
		b, err := e.dialBulk(dialCtx, p, d, to)
		e.wg.Done()
		if err != nil {
			e.forget(p)
		}
		return p, b, false, err
	}
}

// dialBulk makes a connection for streams and starts its pump.
func (e *Endpoint) dialBulk(ctx context.Context, p *peer, d *dialing, to Peer) (*bulk, error) {
	l, err := e.connect(ctx, p.order(to.Addrs), to.Machine, roleBulk)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.shutOff {
		l.close()
		err = ErrClosed
	}
	p.dialled(d, err)
	if err != nil {
		return nil, err
	}
	p.good = l.remote.Addr
	var b *bulk
	b = newBulk(l, e, e.cfg.Idle, func() { e.drop(p, b) })
	p.busy[b] = struct{}{}
	e.wg.Go(b.pump)
	return b, nil
}

// kept is an unused connection.
type kept struct {
	*bulk
	since time.Time
}

// giveBack keeps a connection whose stream ended cleanly, if there is room.
func (e *Endpoint) giveBack(p *peer, b *bulk, clean bool) {
	if !clean {
		return // it has failed, and drop was called
	}
	b.end()
	p.mu.Lock()
	_, used := p.busy[b] // false: it has failed since
	delete(p.busy, b)
	full := len(p.idle) >= maxIdle || p.shutOff
	if used && !full {
		p.idle = append(p.idle, kept{b, time.Now()})
	}
	p.mu.Unlock()
	if full {
		b.fail(ErrClosed)
	}
}

// drop forgets a connection that has failed.
func (e *Endpoint) drop(p *peer, b *bulk) {
	p.mu.Lock()
	delete(p.busy, b)
	for i, k := range p.idle {
		if k.bulk == b {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	e.forget(p)
}
