package node

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// A node that cannot take content says so: its disk is full, or has failed. One
// that is full stays in its groups and keeps its votes; repair comes back to it
// after a while, each time a longer one. One whose disk has failed is degraded:
// it serves what it has, and is passed over when groups are made, as if it were
// down, until it has been started again.

const (
	degradedFor  = 45 * time.Second // how long a degraded node is believed to be; it repeats it
	refusedFirst = time.Minute      // after a machine refused content; doubled each time up to
	refusedMost  = 15 * time.Minute
)

// unfit remembers which machines refused content lately. The zero value is ready.
type unfit struct {
	mu       sync.Mutex
	refusals map[MachineID]refusal
}

type refusal struct {
	err   error
	size  int64 // of the smallest content that was refused
	pause time.Duration
	until time.Time
}

// note remembers what became of a content of some size at a machine.
func (u *unfit) note(m MachineID, size int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old, again := u.refusals[m]
	switch {
	case err == nil:
		if again && size >= old.size {
			delete(u.refusals, m)
		}
		return
	case !isRefusal(err):
		return
	case !again:
		old = refusal{size: size, pause: refusedFirst}
	case time.Now().After(old.until):
		old.pause = min(2*old.pause, refusedMost)
	}
	if u.refusals == nil {
		u.refusals = map[MachineID]refusal{}
	}
	u.refusals[m] = refusal{err: err, size: min(size, old.size), pause: old.pause, until: time.Now().Add(old.pause)}
}

// lately returns why a machine would refuse a content of some size, if it
// refused one that was no larger not long ago.
func (u *unfit) lately(m MachineID, size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	r, ok := u.refusals[m]
	if !ok || size < r.size || time.Now().After(r.until) {
		return nil
	}
	return r.err
}

// isRefusal reports whether an error says that a node cannot take content.
func isRefusal(err error) bool {
	return errors.Is(err, filestore.ErrNoSpace) || errors.Is(err, filestore.ErrDegraded)
}

// allRefused returns why a name cannot be completed for now, where everybody of
// its group who lacks something has refused its content not long ago.
func (n *Node) allRefused(p place, target []MachineID, it item) error {
	if n.judge(p, target, it) != incomplete {
		return nil
	}
	size := int64(math.MaxInt64)
	if r, err := n.store.Register(it.newest.Name); err == nil && r.Record != nil {
		size = r.Record.Size
	}
	var refusal error
	for _, m := range machinesOf(p.group()) {
		e, ok := it.at[m]
		if !it.answered[m] || ok && !e.Only && e.View.Basis == it.newest.View.Basis && e.Held == e.Live {
			continue
		}
		if refusal = n.unfit.lately(m, size); refusal == nil {
			return nil
		}
	}
	return refusal
}

// refused notes what became of a content at a machine.
func (n *Node) refused(m MachineID, size int64, err error) {
	n.unfit.note(m, size, err)
	if errors.Is(err, filestore.ErrDegraded) {
		n.members.setDegraded(m)
	}
}

// onDegraded is called when this node's disk has failed.
func (n *Node) onDegraded() { signal(n.wake.degraded) }

// runDegraded tells every member again and again that this node is degraded,
// once it is.
func (n *Node) runDegraded(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.wake.degraded:
	}
	for {
		n.members.setDegraded(n.self())
		others := n.members.others()
		answers := ask(n, others, func(m MachineID) (struct{}, error) {
			return struct{}{}, n.call(ctx, m, callDegraded, struct{}{}, nil)
		})
		for range others {
			<-answers
		}
		if sleep(ctx, degradedFor/3) != nil {
			return nil
		}
	}
}

// Lacking is a copy that a store did not get, and why.
type Lacking struct {
	Label   string
	Machine MachineID
	Err     error
}

// lacking are the voters of a record that are not among those who confirmed it
// and are known to be unable to.
func (n *Node) lacking(rec *filestore.Record, confirmed []MachineID, why map[MachineID]error) []wireLacking {
	var l []wireLacking
	for _, m := range rec.Voters.New {
		if err := why[m]; err != nil && !slices.Contains(confirmed, m) {
			l = append(l, lackingOnWire(m, err))
		}
	}
	return l
}

// wireLacking is a Lacking on the wire.
type wireLacking struct {
	Machine MachineID `cbor:"1,keyasint"`
	Reason  uint8     `cbor:"2,keyasint"` // one of the reasons below
	Text    string    `cbor:"3,keyasint"`
}

// Reasons of a wireLacking: append only.
const (
	lackingOther    uint8 = 0
	lackingSpace    uint8 = 1
	lackingDegraded uint8 = 2
)

func lackingOnWire(m MachineID, err error) wireLacking {
	l := wireLacking{Machine: m, Text: err.Error()}
	switch {
	case errors.Is(err, filestore.ErrNoSpace):
		l.Reason = lackingSpace
	case errors.Is(err, filestore.ErrDegraded):
		l.Reason = lackingDegraded
	}
	return l
}

// lackingOf is what a reply says, for the publisher.
func (n *Node) lackingOf(l wireLacking) Lacking {
	err := remoteReason{text: l.Text, kind: ErrUnavailable}
	switch l.Reason {
	case lackingSpace:
		err.kind = filestore.ErrNoSpace
	case lackingDegraded:
		err.kind = filestore.ErrDegraded
	}
	return Lacking{Label: n.members.label(l.Machine), Machine: l.Machine, Err: err}
}

// remoteReason is an error as another node put it.
type remoteReason struct {
	text string
	kind error
}

func (r remoteReason) Error() string { return r.text }

func (r remoteReason) Unwrap() error { return r.kind }
