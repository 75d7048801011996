package transfer

import (
	"fmt"
	"net"
	"sync"
)

// door counts what comes in and keeps it bounded: handshakes under way in all and
// from one address, connections in all and of one machine.
type door struct {
	maxHandshakes, maxConns, maxPeerConns int

	mu         sync.Mutex
	handshakes int
	conns      int
	from       map[string]int // handshakes under way by address
	inside     map[MachineID]map[*link]struct{}
}

func newDoor(cfg Config) *door {
	return &door{
		maxHandshakes: cfg.MaxHandshakes, maxConns: cfg.MaxConns, maxPeerConns: cfg.MaxPeerConns,
		from: make(map[string]int), inside: make(map[MachineID]map[*link]struct{}),
	}
}

// knock counts a handshake, or refuses it before a byte is read.
func (d *door) knock(addr net.Addr) bool {
	host := hostOf(addr)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handshakes >= d.maxHandshakes || d.from[host] >= max(1, d.maxHandshakes/4) {
		return false
	}
	d.handshakes++
	d.from[host]++
	return true
}

// shaken ends a handshake that knock counted.
func (d *door) shaken(addr net.Addr) {
	host := hostOf(addr)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handshakes--
	if d.from[host]--; d.from[host] == 0 {
		delete(d.from, host)
	}
}

// enter counts an authenticated connection, or refuses it with [ErrBusy].
func (d *door) enter(l *link) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	links := d.inside[l.remote.Machine]
	if d.conns >= d.maxConns || len(links) >= d.maxPeerConns {
		return fmt.Errorf("%w: %d connections, %d of this machine", ErrBusy, d.conns, len(links))
	}
	if links == nil {
		links = make(map[*link]struct{})
		d.inside[l.remote.Machine] = links
	}
	links[l] = struct{}{}
	d.conns++
	return nil
}

// leave ends a connection that enter counted.
func (d *door) leave(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns--
	links := d.inside[l.remote.Machine]
	if delete(links, l); len(links) == 0 {
		delete(d.inside, l.remote.Machine)
	}
}

// evict closes the accepted connections of a machine.
func (d *door) evict(machine MachineID) {
	d.mu.Lock()
	var links []*link
	for l := range d.inside[machine] {
		links = append(links, l)
	}
	d.mu.Unlock()
	for _, l := range links {
		l.close()
	}
}

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}
