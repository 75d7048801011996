package transfer

import (
	"fmt"
	"slices"
	"sync"
)

// maxPeerControls bounds the control connections of one machine. One is in use;
// the others are those whose end this side has not noticed yet.
const maxPeerControls = 4

// door counts what comes in and keeps it bounded: strangers, who make room for
// one another, and the connections of members, in all and of one machine. The
// two never compete.
type door struct {
	waiting *crowd // for the first bytes: a few KiB each
	shaking *crowd // hands: some tens of KiB each
	turns   *throttle
	joins   chan struct{}

	maxConns, maxPeerConns int

	mu     sync.Mutex
	conns  int
	inside map[MachineID]*visitor
}

// visitor is a machine that has connections here.
type visitor struct {
	links    []*link // in the order in which they came
	controls int
	calls    *budget
}

func newDoor(cfg Config) *door {
	return &door{
		waiting: newCrowd(cfg.MaxStrangers), shaking: newCrowd(cfg.MaxHandshakes),
		turns:    newThrottle(),
		joins:    make(chan struct{}, max(1, cfg.MaxHandshakes/4)),
		maxConns: cfg.MaxConns, maxPeerConns: cfg.MaxPeerConns,
		inside: make(map[MachineID]*visitor),
	}
}

// relieve sends strangers away because something has run out.
func (d *door) relieve() {
	d.waiting.thin(4)
	d.shaking.thin(4)
}

// enter counts an authenticated connection, or refuses it with [ErrBusy]. Of too
// many control connections the oldest is closed: its peer has made a new one.
func (d *door) enter(l *link) error {
	stale, err := d.count(l)
	if stale != nil {
		stale.close()
	}
	return err
}

func (d *door) count(l *link) (stale *link, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.inside[l.remote.Machine]
	if v == nil {
		v = &visitor{calls: newBudget(maxCallBytes)}
	}
	if d.conns >= d.maxConns || len(v.links) >= d.maxPeerConns {
		return nil, fmt.Errorf("%w: %d connections, %d of this machine", ErrBusy, d.conns, len(v.links))
	}
	if l.role == roleControl {
		if v.controls++; v.controls > maxPeerControls {
			stale = v.links[slices.IndexFunc(v.links, func(l *link) bool { return l.role == roleControl })]
		}
	}
	v.links = append(v.links, l)
	l.calls = v.calls
	d.inside[l.remote.Machine] = v
	d.conns++
	return stale, nil
}

// leave ends a connection that enter counted.
func (d *door) leave(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns--
	v := d.inside[l.remote.Machine]
	v.links = slices.DeleteFunc(v.links, func(x *link) bool { return x == l })
	if l.role == roleControl {
		v.controls--
	}
	if len(v.links) == 0 {
		delete(d.inside, l.remote.Machine)
	}
}

// evict closes the accepted connections of a machine.
func (d *door) evict(machine MachineID) {
	d.mu.Lock()
	var links []*link
	if v := d.inside[machine]; v != nil {
		links = slices.Clone(v.links)
	}
	d.mu.Unlock()
	for _, l := range links {
		l.close()
	}
}

// budget is an amount of bytes that several connections share.
type budget struct {
	mu   sync.Mutex
	left int
}

func newBudget(n int) *budget { return &budget{left: n} }

// take takes n bytes, or reports that there are not so many left.
func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

// give gives back what take took.
func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}
