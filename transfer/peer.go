package transfer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxIdle bounds the unused bulk connections kept to one machine.
const maxIdle = 8

// peerKey finds a peer: by machine, or by its first address if any machine will do.
type peerKey struct {
	machine MachineID
	addr    string
}

// peer is what the dialling side knows of one machine.
type peer struct {
	key peerKey
	rtt atomic.Int64 // ns, smoothed; 0: unknown

	mu      sync.Mutex
	shutOff bool
	good    string // the address that answered last
	control *control
	dialing *dialing // of the control connection
	dials   map[*dialing]struct{}
	idle    []kept // the most recently used last
	busy    map[*bulk]struct{}
}

// dialing is an attempt to connect; for a control connection, one that several
// callers wait for.
type dialing struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// dial begins an attempt that shut can cancel; p.mu is held.
func (p *peer) dial(ctx context.Context, limit time.Duration) (context.Context, *dialing) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	d := &dialing{cancel: cancel, done: make(chan struct{})}
	p.dials[d] = struct{}{}
	return ctx, d
}

// dialled ends an attempt; p.mu is held.
func (p *peer) dialled(d *dialing, err error) {
	delete(p.dials, d)
	d.err = err
	d.cancel()
	close(d.done)
}

func keyOf(to Peer) peerKey {
	if to.Machine == (MachineID{}) && len(to.Addrs) > 0 {
		return peerKey{addr: to.Addrs[0]}
	}
	return peerKey{machine: to.Machine}
}

// peer returns the state kept for to.
func (e *Endpoint) peer(to Peer) (*peer, error) {
	if len(to.Addrs) == 0 {
		return nil, fmt.Errorf("%w: no address is known", ErrUnreachable)
	}
	key := keyOf(to)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	p := e.peers[key]
	if p == nil {
		p = &peer{key: key, busy: make(map[*bulk]struct{}), dials: make(map[*dialing]struct{})}
		e.peers[key] = p
	}
	return p, nil
}

// order returns the addresses with the one that answered last first.
func (p *peer) order(addrs []string) []string {
	p.mu.Lock()
	good := p.good
	p.mu.Unlock()
	if i := slices.Index(addrs, good); i > 0 {
		addrs = slices.Concat([]string{good}, addrs[:i], addrs[i+1:])
	}
	return addrs
}

// is tells whether any connection of p leads to machine.
func (p *peer) is(machine MachineID) bool {
	if p.key.machine == machine {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.control != nil && p.control.remote.Machine == machine {
		return true
	}
	for b := range p.busy {
		if b.remote.Machine == machine {
			return true
		}
	}
	return slices.ContainsFunc(p.idle, func(k kept) bool { return k.remote.Machine == machine })
}

// disconnect ends what there is now; later calls connect again.
func (p *peer) disconnect() {
	p.mu.Lock()
	c, bulks := p.control, slices.Collect(maps.Keys(p.busy))
	for _, k := range p.idle {
		bulks = append(bulks, k.bulk)
	}
	p.mu.Unlock()
	if c != nil {
		c.fail(ErrClosed)
	}
	for _, b := range bulks {
		b.fail(ErrClosed)
	}
}

// shut is disconnect for good.
func (p *peer) shut() {
	p.mu.Lock()
	p.shutOff = true
	for d := range p.dials {
		d.cancel()
	}
	p.mu.Unlock()
	p.disconnect()
}

// measured smooths a round trip into the estimate, as RFC 6298 does.
func (p *peer) measured(rtt time.Duration) {
	rtt = max(rtt, 1)
	if old := p.rtt.Load(); old > 0 {
		rtt = time.Duration(old) + (rtt-time.Duration(old))/8
	}
	p.rtt.Store(int64(rtt))
}

// controlTo returns the control connection to a peer, made if there is none. Those
// who call meanwhile wait for the same attempt, each as long as its context lasts.
func (e *Endpoint) controlTo(ctx context.Context, to Peer) (*control, error) {
	for {
		p, err := e.peer(to)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		if p.shutOff {
			p.mu.Unlock()
			continue // forgotten meanwhile, or everything is closed
		}
		if c := p.control; c != nil {
			p.mu.Unlock()
			return c, nil
		}
		d := p.dialing
		if d == nil {
			var dialCtx context.Context
			dialCtx, d = p.dial(context.WithoutCancel(ctx), e.cfg.Handshake)
			p.dialing = d
			e.wg.Go(func() { e.dialControl(dialCtx, p, d, to) })
		}
		p.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("connect: %w", ctx.Err())
		}
	}
}

// dialControl makes the control connection and starts its goroutines.
func (e *Endpoint) dialControl(ctx context.Context, p *peer, d *dialing, to Peer) {
	l, err := e.connect(ctx, p.order(to.Addrs), to.Machine, roleControl)
	p.mu.Lock()
	if err == nil && p.shutOff {
		l.close()
		err = ErrClosed
	}
	if err == nil {
		p.good = l.remote.Addr
		p.control = newControl(l, e, p)
		e.wg.Go(p.control.write)
		e.wg.Go(p.control.read)
	}
	p.dialing = nil
	p.dialled(d, err)
	p.mu.Unlock()
	if err != nil {
		e.forget(p)
	}
}

// lost forgets a control connection that has ended, and a peer that is known by
// address only with its last connection.
func (e *Endpoint) lost(p *peer, c *control) {
	p.mu.Lock()
	if p.control == c {
		p.control = nil
	}
	p.mu.Unlock()
	e.forget(p)
}

// forget drops a peer that is known by address only and has no connection.
func (e *Endpoint) forget(p *peer) {
	if p.key.addr == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.control == nil && len(p.dials)+len(p.idle)+len(p.busy) == 0 && e.peers[p.key] == p {
		delete(e.peers, p.key)
		p.shutOff = true
	}
}
