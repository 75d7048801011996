package node

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// gossipEvery is how often a node compares its member set with that of one
// other. Changes are passed on at once besides, to gossipFanout members.
const (
	gossipEvery  = 10 * time.Second
	gossipFanout = 3
	gossipAfar   = 4                // one in so many times with any member, else with one that is connected
	tellAtOnce   = 64               // members that are told at once that one is out
	leavingFor   = 30 * time.Second // how long a member that said it is leaving is believed; it repeats it
)

// members is the set of members as the node uses it. It may be used concurrently.
type members struct {
	set  *trust.Members
	self MachineID
	path string // where the set is kept; empty: nowhere
	log  *slog.Logger

	saving  sync.Mutex // held while the set is written, so that an older one never follows a newer
	mu      sync.Mutex
	present []trust.Member // in order of machine ID
	leaving map[MachineID]time.Time
	broken  map[MachineID]time.Time // until when a member is taken to be degraded
	hints   map[MachineID][]string  // addresses of members that have announced none
}

func newMembers(set *trust.Members, self MachineID, path string, log *slog.Logger) *members {
	m := &members{set: set, self: self, path: path, log: log, leaving: map[MachineID]time.Time{}, broken: map[MachineID]time.Time{}, hints: map[MachineID][]string{}}
	m.refresh()
	return m
}

func (m *members) refresh() {
	present := m.set.Alive()
	m.mu.Lock()
	m.present = present
	m.mu.Unlock()
}

// all are the members that have not left, in order of machine ID.
func (m *members) all() []trust.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.present
}

// others are all but this node and those that are leaving.
func (m *members) others() []MachineID {
	var l []MachineID
	for _, x := range m.all() {
		if x.Machine != m.self && !m.isLeaving(x.Machine) {
			l = append(l, x.Machine)
		}
	}
	return l
}

// addressed are those of the others whose address is known.
func (m *members) addressed() []MachineID {
	return slices.DeleteFunc(m.others(), func(id MachineID) bool {
		x, _ := m.set.Get(id)
		return len(x.Addrs) == 0
	})
}

// count is the number of members that files can be kept on.
func (m *members) count() int {
	n := 0
	for _, x := range m.all() {
		if !m.isLeaving(x.Machine) {
			n++
		}
	}
	return n
}

// counts reports whether files are to be kept at the machine.
func (m *members) counts(id MachineID) bool {
	return m.has(id) && !m.isLeaving(id)
}

// has reports whether the machine is a member, be it one that leaves.
func (m *members) has(id MachineID) bool {
	x, ok := m.set.Get(id)
	return ok && x.State == trust.Present
}

// gone reports whether the machine was a member and is none any more.
func (m *members) gone(id MachineID) bool {
	x, ok := m.set.Get(id)
	return ok && x.State != trust.Present
}

// setLeaving notes that a member is handing over and about to go.
func (m *members) setLeaving(id MachineID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving[id] = time.Now().Add(leavingFor)
}

func (m *members) isLeaving(id MachineID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := m.leaving[id]
	return ok && time.Now().Before(until)
}

// setDegraded notes that a member can take no content, since its disk has failed.
func (m *members) setDegraded(id MachineID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken[id] = time.Now().Add(degradedFor)
}

func (m *members) isDegraded(id MachineID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := m.broken[id]
	return ok && time.Now().Before(until)
}

// after orders the members by their first position at or after key.
func (m *members) after(key chord.ID) []MachineID {
	type placed struct {
		machine MachineID
		away    chord.ID
	}
	var l []placed
	for _, x := range m.all() {
		var best *chord.ID
		for _, p := range x.Positions() {
			if d := key.Distance(p); best == nil || d.Compare(*best) < 0 {
				best = &d
			}
		}
		if best != nil {
			l = append(l, placed{x.Machine, *best})
		}
	}
	slices.SortFunc(l, func(a, b placed) int { return a.away.Compare(b.away) })
	ids := make([]MachineID, len(l))
	for i, x := range l {
		ids[i] = x.machine
	}
	return ids
}

// places are the positions of all members, in their order on the ring.
func (m *members) places() []chord.ID {
	var l []chord.ID
	for _, x := range m.all() {
		for _, p := range x.Positions() {
			l = append(l, p)
		}
	}
	slices.SortFunc(l, chord.ID.Compare)
	return l
}

// label is a machine's name for people; for one nobody has heard of, its ID's beginning.
func (m *members) label(id MachineID) string {
	if x, ok := m.set.Get(id); ok && x.Name != "" {
		return x.Name
	}
	return chord.ID(id[:len(chord.ID{})]).Short()
}

// peer is how to reach a machine.
func (m *members) peer(id MachineID) transfer.Peer {
	x, _ := m.set.Get(id)
	if len(x.Addrs) == 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		x.Addrs = m.hints[id]
	}
	return transfer.Peer{Machine: id, Addrs: x.Addrs}
}

// hint notes the addresses that the ring knows of machines which have not
// announced their own here yet: the ring hears of a newcomer first.
func (m *members) hint(peers []chord.Peer) {
	for _, p := range peers {
		if x, _ := m.set.Get(p.Machine); len(x.Addrs) == 0 && p.Addr != "" {
			m.mu.Lock()
			m.hints[p.Machine] = strings.Split(p.Addr, ",")
			m.mu.Unlock()
		}
	}
}

// positions are the ring positions of all members but this node, as peers of
// the ring, and the machines that have left it.
func (m *members) positions() (peers []chord.Peer, gone []MachineID) {
	for _, x := range m.set.All() {
		switch {
		case x.Machine == m.self:
		case x.State != trust.Present:
			gone = append(gone, x.Machine)
		case len(x.Addrs) > 0:
			peers = append(peers, positionsOf(x)...)
		}
	}
	return peers, gone
}

func positionsOf(x trust.Member) []chord.Peer {
	var peers []chord.Peer
	for _, p := range x.Positions() {
		peers = append(peers, chord.Peer{ID: p, Machine: x.Machine, Addr: strings.Join(x.Addrs, ",")})
	}
	return peers
}

// save stores the set, where it has a place.
func (m *members) save() {
	m.refresh()
	if m.path == "" {
		return
	}
	m.saving.Lock()
	defer m.saving.Unlock()
	if err := m.set.Save(m.path); err != nil {
		m.log.Error("cannot store the members", "err", err)
	}
}

// membersChanged stores the set, tells the ring, has the change passed on, and
// finds out what it means for this node itself.
func (n *Node) membersChanged() {
	before := n.members.all()
	n.members.save()
	peers, gone := n.members.positions()
	n.ring.Remember(peers...)
	n.ring.Forget(gone...)
	for _, m := range gone {
		n.net.Disconnect(m)
	}
	signal(n.wake.gossip)
	same := func(a, b trust.Member) bool { return a.Machine == b.Machine }
	if !slices.EqualFunc(before, n.members.all(), same) { // and not only an address changed
		signal(n.wake.joined)
	}
	n.lookAtSelf()
}

// signal wakes the receiver of a channel of capacity one, which may be awake already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// jitter is d give or take a fifth, so that nodes do not act in step.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}
