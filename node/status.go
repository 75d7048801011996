package node

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
)

// Status is this node's view of itself and its ring. It asks every member
// whether it is there, and takes callTimeout at most.
func (n *Node) Status(ctx context.Context) Status {
	g := n.genesis()
	files, used, free := n.store.Usage()
	s := Status{
		Ring: g.Name, RingID: n.membership.identity.Root().ID(), N: g.N, W: g.W, R: g.R,
		Label: n.cfg.Label, Machine: n.self(), Positions: n.ring.Positions(),
		Listen: n.cfg.Listener.Addr().String(), Version: n.cfg.Version, Started: n.state.started,
		Ready: n.ready(),
		Files: files, Bytes: used, Capacity: n.capacity(used, free),
		CopiesMissing: int(n.repair.missing.Load()),
	}
	for _, m := range n.Members(ctx) {
		s.Members++
		if m.State != Silent {
			s.Alive++
		}
	}
	if err := n.store.Degraded(); err != nil {
		s.Degraded = err.Error()
	}
	s.Warnings = append(s.Warnings, n.warnOfDamage()...)
	s.Warnings = append(s.Warnings, n.warnOfAbsence()...)
	s.Warnings = append(s.Warnings, n.warnOfMembership()...)
	if !n.store.XattrOK() {
		s.Warnings = append(s.Warnings, "the file system keeps no extended attributes: if registers.db is lost it cannot be rebuilt from the files")
	}
	return s
}

// capacity is how many bytes of files this node may hold.
func (n *Node) capacity(used, free int64) int64 {
	all := used + free
	if n.cfg.Capacity > 0 {
		all = min(all, n.cfg.Capacity)
	}
	return all
}

func (n *Node) onSelf() selfReply {
	files, used, free := n.store.Usage()
	r := selfReply{
		Label: n.cfg.Label, Version: n.cfg.Version, Files: files, Used: used, Capacity: n.capacity(used, free),
		Free: max(0, free), Now: n.now().UnixNano(),
	}
	if err := n.store.Degraded(); err != nil {
		r.Degraded = err.Error()
	}
	if aside, err := n.store.Quarantined(); err == nil {
		r.Aside = aside.Bytes
	}
	for _, p := range n.ring.Positions() {
		r.Positions = append(r.Positions, wirePosition{p.Self, p.Predecessor, p.Successors})
	}
	return r
}

// askSelf asks one member about itself and takes the time.
func (n *Node) askSelf(ctx context.Context, m MachineID) (r selfReply, rtt time.Duration, err error) {
	if m == n.self() {
		return n.onSelf(), 0, nil
	}
	start := time.Now()
	err = n.call(ctx, m, callSelf, struct{}{}, &r)
	return r, time.Since(start), err
}

// Members lists the machines that have not left the ring, this node first and
// then by label, with what each says of itself now.
func (n *Node) Members(ctx context.Context) []Member {
	type answer struct {
		selfReply
		rtt time.Duration
	}
	var to []MachineID
	for _, m := range n.members.all() {
		to = append(to, m.Machine)
	}
	answers := ask(n, to, func(m MachineID) (answer, error) {
		r, rtt, err := n.askSelf(ctx, m)
		return answer{r, rtt}, err
	})
	var l []Member
	for range to {
		a := <-answers
		x, _ := n.members.set.Get(a.from)
		m := Member{Label: n.members.label(a.from), Machine: a.from, Version: x.Version, State: Silent, Self: a.from == n.self()}
		m.Issuer, m.Expires = x.Issuing, x.NotAfter
		if p := x.Positions(); len(p) > 0 {
			m.ID = p[0]
		}
		if len(x.Addrs) > 0 {
			m.Addr = x.Addrs[0]
		}
		if a.err == nil {
			m.State, m.RTT = Alive, a.is.rtt
			m.Files, m.Used, m.Capacity, m.Free, m.Version = a.is.Files, a.is.Used, a.is.Capacity, a.is.Free, a.is.Version
			m.Aside = a.is.Aside
			if m.Degraded = a.is.Degraded; m.Degraded != "" {
				m.State = Degraded
			}
			if a.is.Now != 0 && !m.Self {
				m.Clock = time.Unix(0, a.is.Now).Sub(n.now()) + a.is.rtt/2
			}
		}
		l = append(l, m)
	}
	slices.SortFunc(l, func(a, b Member) int {
		switch {
		case a.Self != b.Self && a.Self:
			return -1
		case a.Self != b.Self:
			return 1
		case a.Label != b.Label:
			return bytes.Compare([]byte(a.Label), []byte(b.Label))
		}
		return bytes.Compare(a.Machine[:], b.Machine[:])
	})
	return l
}

// RingPositions lists every position on the ring in order, as its own machine
// reports it; the summary says how many machines did.
func (n *Node) RingPositions(ctx context.Context) ([]RingPosition, ListSummary) {
	var to []MachineID
	for _, m := range n.members.all() {
		to = append(to, m.Machine)
	}
	s := ListSummary{Asked: len(to)}
	answers := ask(n, to, func(m MachineID) (selfReply, error) {
		r, _, err := n.askSelf(ctx, m)
		return r, err
	})
	var l []RingPosition
	for range to {
		a := <-answers
		if a.err != nil {
			continue
		}
		s.Answered++
		for _, p := range a.is.Positions {
			l = append(l, RingPosition{
				Label:    n.members.label(a.from),
				Position: chord.Position{Self: p.Self, Placed: true, Predecessor: p.Predecessor, Successors: p.Successors},
			})
		}
	}
	slices.SortFunc(l, func(a, b RingPosition) int { return a.Self.ID.Compare(b.Self.ID) })
	return l, s
}

// Fingers are this node's own positions with all they know of the ring.
func (n *Node) Fingers() []chord.Position { return n.ring.Positions() }

// Label is the name for people of a machine, its ID's beginning if it has none.
func (n *Node) Label(m MachineID) string { return n.members.label(m) }

// Locate looks up the owner of a key, hop by hop, and the group that keeps what
// is stored under it.
func (n *Node) Locate(ctx context.Context, key chord.ID) (chord.Lookup, []Holder, error) {
	l, err := n.ring.Lookup(ctx, key)
	if err != nil {
		return l, nil, &OpError{Op: "locate", Name: key.String(), Err: err}
	}
	var group []Holder
	for _, p := range l.Group(n.want()) {
		group = append(group, n.holder(p.Machine, key))
	}
	return l, group, nil
}
