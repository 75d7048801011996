package memnet

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// firstPort is where the ports of ":0" and of dialling sides begin.
const firstPort = 10_000

// Network is a set of hosts. It may be used concurrently.
type Network struct {
	mu        sync.Mutex
	rng       *rand.Rand
	links     map[direction]*path
	fallback  conditions
	listeners map[string]*listener
	hosts     map[string]*host
	changed   chan struct{} // closed and replaced when a condition changes
	nextPort  int
	sent      map[direction]int64 // bytes
	made      int                 // connections
}

type direction struct{ from, to string }

// conditions hold in one direction.
type conditions struct {
	delay, jitter time.Duration
	bandwidth     int // bytes a second; 0: unlimited
	cut           bool
}

type path struct{ conditions }

type host struct {
	down   bool // silent
	conns  map[*conn]struct{}
	ghosts []*conn // ends lost when it went down, which its peers still think alive
}

// New returns a network without delays. Jitter is drawn from the seed.
func New(seed uint64) *Network {
	return &Network{
		rng:       rand.New(rand.NewPCG(seed, 0)),
		links:     make(map[direction]*path),
		listeners: make(map[string]*listener),
		hosts:     make(map[string]*host),
		changed:   make(chan struct{}),
		nextPort:  firstPort,
		sent:      make(map[direction]int64),
	}
}

// SetDelays sets the delay and jitter of every direction that has none of its own.
func (n *Network) SetDelays(delay, jitter time.Duration) {
	n.update(func() { n.fallback.delay, n.fallback.jitter = delay, jitter })
}

// SetDelay sets the delay and jitter between two hosts, both ways.
func (n *Network) SetDelay(a, b string, delay, jitter time.Duration) {
	n.both(a, b, func(p *path) { p.delay, p.jitter = delay, jitter })
}

// SetBandwidth sets the bytes a second between two hosts, each way; 0: unlimited.
func (n *Network) SetBandwidth(a, b string, bytes int) {
	n.both(a, b, func(p *path) { p.bandwidth = bytes })
}

// Cut stops what is sent from one host to the other; the other way still works.
func (n *Network) Cut(from, to string) { n.update(func() { n.path(from, to).cut = true }) }

// CutBoth stops both ways.
func (n *Network) CutBoth(a, b string) { n.both(a, b, func(p *path) { p.cut = true }) }

// Heal ends the cuts between two hosts.
func (n *Network) Heal(a, b string) { n.both(a, b, func(p *path) { p.cut = false }) }

// Partition cuts every pair of hosts that are in different groups.
func (n *Network) Partition(groups ...[]string) {
	for i, left := range groups {
		for _, right := range groups[i+1:] {
			for _, a := range left {
				for _, b := range right {
					n.CutBoth(a, b)
				}
			}
		}
	}
}

// HealAll ends every cut.
func (n *Network) HealAll() {
	n.update(func() {
		for _, p := range n.links {
			p.cut = false
		}
	})
}

// Sent is how many bytes one host has sent to another, those included that a cut
// has kept from arriving.
func (n *Network) Sent(from, to string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent[direction{from, to}]
}

// Drop resets the connections between two hosts.
func (n *Network) Drop(a, b string) {
	n.mu.Lock()
	var reset []*conn
	for c := range n.host(a).conns {
		if c.remote.host == b {
			reset = append(reset, c)
		}
	}
	n.mu.Unlock()
	for _, c := range reset {
		c.abort(syscall.ECONNRESET)
	}
}

// Kill ends a host as if its process had died: listeners close, connections are
// reset at both ends, dials are refused.
func (n *Network) Kill(name string) { n.stop(name, false) }

// Down ends a host as if its power had failed: its own ends fail, its peers notice
// nothing, dials get no answer.
func (n *Network) Down(name string) { n.stop(name, true) }

// Up brings a host back, without connections and listeners. What its peers still
// take for a connection is reset.
func (n *Network) Up(name string) {
	var ghosts []*conn
	n.update(func() {
		h := n.host(name)
		h.down = false
		ghosts, h.ghosts = h.ghosts, nil
	})
	for _, c := range ghosts {
		c.abort(syscall.ECONNRESET)
	}
}

func (n *Network) stop(name string, silent bool) {
	n.mu.Lock()
	h := n.host(name)
	h.down = silent
	conns := h.conns
	h.conns = make(map[*conn]struct{})
	if silent {
		h.ghosts = slices.AppendSeq(h.ghosts, maps.Keys(conns))
	}
	var closing []*listener
	for _, l := range n.listeners {
		if l.addr.host == name {
			closing = append(closing, l)
		}
	}
	n.mu.Unlock()
	for _, l := range closing {
		_ = l.Close()
	}
	for c := range conns {
		if silent {
			c.vanish()
		} else {
			c.abort(syscall.ECONNRESET)
		}
	}
	n.update(func() {})
}

// Connections counts the ends of connections that are open.
func (n *Network) Connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	open := 0
	for _, h := range n.hosts {
		open += len(h.conns)
	}
	return open
}

// Listen listens at host:port; port 0 takes a free one.
func (n *Network) Listen(address string) (net.Listener, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if number == 0 {
		number = n.port()
	}
	a := addr{name, number}
	if _, taken := n.listeners[a.String()]; taken || n.host(name).down {
		return nil, fmt.Errorf("listen %s: %w", a, syscall.EADDRINUSE)
	}
	l := &listener{n: n, addr: a, queue: make(chan *conn, 128), closed: make(chan struct{})}
	n.listeners[a.String()] = l
	return l, nil
}

// Dialer returns the function with which a host dials.
func (n *Network) Dialer(from string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := n.dial(ctx, from, address)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", address, err)}
		}
		return c, nil
	}
}

func (n *Network) dial(ctx context.Context, from, address string) (net.Conn, error) {
	to, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	// One way there, where it is decided, and one back, each when it is open.
	if err := n.travel(ctx, from, to); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		if err := n.travel(ctx, to, from); err != nil {
			return nil, err
		}
		return nil, syscall.ECONNREFUSED
	}
	if err := n.travel(ctx, to, from); err != nil {
		return nil, err
	}
	return n.connect(from, l)
}

// Made is how many connections were made so far.
func (n *Network) Made() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.made
}

// connect makes the two ends and queues one at the listener.
func (n *Network) connect(from string, l *listener) (net.Conn, error) {
	n.mu.Lock()
	n.made++
	local := addr{from, n.port()}
	out, in := newPipe(n, from, l.addr.host), newPipe(n, l.addr.host, from)
	near := newConn(n, in, out, local, l.addr)
	far := newConn(n, out, in, l.addr, local)
	near.twin, far.twin = far, near
	n.host(from).conns[near] = struct{}{}
	n.host(l.addr.host).conns[far] = struct{}{}
	n.mu.Unlock()
	select {
	case <-l.closed:
	default:
		select {
		case l.queue <- far:
			return near, nil
		default: // the backlog is full
		}
	}
	near.abort(net.ErrClosed)
	return nil, syscall.ECONNREFUSED
}

// travel waits for as long as something takes from one host to another.
func (n *Network) travel(ctx context.Context, from, to string) error {
	for {
		open, delay, changed := n.state(from, to)
		if open {
			if delay == 0 {
				return nil
			}
			timer := time.NewTimer(delay)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// state tells whether a direction is open and how long it takes now.
func (n *Network) state(from, to string) (open bool, delay time.Duration, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.conditions(from, to)
	delay = p.delay
	if p.jitter > 0 {
		delay += time.Duration(n.rng.Int64N(int64(p.jitter)))
	}
	return !p.cut && !n.host(from).down && !n.host(to).down, delay, n.changed
}

// conditions, path, host and port are called with n.mu held.

func (n *Network) conditions(from, to string) conditions {
	if p := n.links[direction{from, to}]; p != nil {
		return p.conditions
	}
	return n.fallback
}

func (n *Network) path(from, to string) *path {
	d := direction{from, to}
	if n.links[d] == nil {
		n.links[d] = &path{n.fallback}
	}
	return n.links[d]
}

func (n *Network) host(name string) *host {
	if n.hosts[name] == nil {
		n.hosts[name] = &host{conns: make(map[*conn]struct{})}
	}
	return n.hosts[name]
}

func (n *Network) port() int {
	n.nextPort++
	return n.nextPort
}

// both changes the conditions of both directions.
func (n *Network) both(a, b string, f func(*path)) {
	n.update(func() {
		f(n.path(a, b))
		f(n.path(b, a))
	})
}

// count adds to what Sent returns.
func (n *Network) count(from, to string, bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent[direction{from, to}] += int64(bytes)
}

// update changes conditions and wakes whoever waits for them.
func (n *Network) update(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

// remove forgets a connection's end.
func (n *Network) remove(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.host(c.local.host).conns, c)
}
