package chord

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world simulates many machines over an event queue with virtual time. Every
// choice comes from one seed, so a run replays exactly.
type world struct {
	t      testing.TB
	seed   uint64
	rng    *rand.Rand
	now    time.Duration
	queue  eventQueue
	seq    int
	want   int
	breaks breaks

	delay   [2]time.Duration          // of one way, least and most
	loss    float64                   // chance that a message is lost, either way
	cut     func(from, to *host) bool // loses all messages that way, when set
	refuse  bool                      // a dead machine's port refuses instead of keeping silent
	hosts   []*host
	byID    map[ID]*node
	flights map[*Reply]bool // replies under way
	sent    int
	dirty   bool       // membership or a list changed, or a reply set out, since step
	fresh   []*machine // whose state changed since step
	step    func()     // after every event that may bear on an invariant, when set
}

// host is a machine; node one of its positions.
type host struct {
	id     MachineID
	nodes  []*node
	up     bool
	born   int // lives so far
	side   int // of a partition
	frozen time.Duration
	known  []Peer
	base   bool // never dies
}

type node struct {
	m    *machine
	host *host
	life int
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}

const simTick = 800 * time.Millisecond

var simTimeouts = [...]time.Duration{250 * time.Millisecond, 500 * time.Millisecond}

func newWorld(t testing.TB, seed uint64, want int) *world {
	return &world{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), want: want,
		delay: [2]time.Duration{time.Millisecond, 60 * time.Millisecond},
		byID:  make(map[ID]*node), flights: make(map[*Reply]bool),
	}
}

// failf ends the test, naming the seed that replays it.
func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s\nreplay: DHTFS_SIM_SEED=%d go test -run '%s'",
		w.seed, w.now, fmt.Sprintf(format, args...), w.seed, w.t.Name())
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now + d, w.seq, do})
}

// run lets d of virtual time pass.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
		if w.dirty && w.step != nil {
			w.dirty = false
			w.step()
		}
	}
	w.now = end
}

// until runs until done holds and returns how long that took; false if it did
// not within limit.
func (w *world) until(limit time.Duration, done func() bool) (time.Duration, bool) {
	start := w.now
	for w.now-start < limit {
		if done() {
			return w.now - start, true
		}
		w.run(100 * time.Millisecond)
	}
	return w.now - start, done()
}

func (w *world) randomID() ID {
	var id ID
	for i := 0; i < len(id); i += 4 {
		binary.BigEndian.PutUint32(id[i:], w.rng.Uint32())
	}
	return id
}

// newHost makes a machine with so many positions; it is not up yet.
func (w *world) newHost(positions int) *host {
	h := &host{}
	binary.BigEndian.PutUint64(h.id[:], uint64(len(w.hosts)+1))
	w.hosts = append(w.hosts, h)
	for range positions {
		n := &node{host: h}
		n.m = newMachine(Peer{ID: w.randomID(), Machine: h.id}, w.want, false)
		h.nodes = append(h.nodes, n)
		w.byID[n.m.self.ID] = n
	}
	return h
}

// start brings a machine up with fresh state, as a process that starts does.
func (w *world) start(h *host, known ...Peer) {
	h.up = true
	h.born++
	for _, p := range known {
		h.meet(p)
	}
	for i, n := range h.nodes {
		n.m = newMachine(n.m.self, w.want, i == 0)
		n.m.breaks = w.breaks
		n.life = h.born
		w.tick(n, n.life)
	}
}

// ideal starts hosts with a finished ring already in place.
func (w *world) ideal(hosts ...*host) {
	var ring []Peer
	for _, h := range hosts {
		for _, n := range h.nodes {
			ring = append(ring, n.m.self)
		}
	}
	slices.SortFunc(ring, func(a, b Peer) int { return a.ID.Compare(b.ID) })
	for _, h := range hosts {
		w.start(h, ring...)
	}
	for i, p := range ring {
		m := w.byID[p.ID].m
		m.placed = true
		chain := append(slices.Clone(ring[i+1:]), ring[:i]...)
		m.setList(successorList(p, w.want, chain))
		if len(chain) > 0 {
			m.pred = &chain[len(chain)-1]
		}
	}
}

func (h *host) meet(p Peer) {
	if p.Machine != h.id && !hasPeer(h.known, p.ID) {
		h.known = append(h.known, p)
	}
}

func (w *world) alive(n *node, life int) bool { return n.host.up && n.life == life }

// tick ticks a position now and for the rest of this life.
func (w *world) tick(n *node, life int) {
	if !w.alive(n, life) || n.m.left {
		return
	}
	if n.host.frozen > w.now {
		w.after(n.host.frozen-w.now, func() { w.tick(n, life) })
		return
	}
	n.m.tick(w.vias(n))
	w.flush(n)
	w.after(simTick*9/10+time.Duration(w.rng.Int64N(int64(simTick/5))), func() { w.tick(n, life) })
}

// vias is what Ring.vias is.
func (w *world) vias(n *node) []Peer {
	var vias []Peer
	for _, other := range n.host.nodes {
		if other != n && other.m.placed && !n.m.placed {
			vias = append(vias, other.m.self)
		}
	}
	known := n.host.known
	for _, i := range w.rng.Perm(len(known))[:min(viasPerTick, len(known))] {
		vias = append(vias, known[i])
	}
	return vias
}

func (w *world) flush(n *node) {
	if n.m.takeChanged() {
		w.dirty = true
		w.fresh = append(w.fresh, n.m)
	}
	for _, msg := range n.m.take() {
		w.send(n, msg, 0)
	}
}

// send plays the driver's part in one message: tries, time-outs and outcome.
func (w *world) send(n *node, msg message, try int) {
	w.sent++
	life, done := n.life, false
	finish := func(do func()) {
		if !done && w.alive(n, life) {
			done = true
			do()
			w.flush(n)
		}
	}
	giveUp := func() {
		finish(func() {
			if msg.confirm && try+1 < len(simTimeouts) {
				w.send(n, msg, try+1)
			} else if msg.token != 0 {
				n.m.failed(msg.token)
			}
		})
	}
	w.after(simTimeouts[try], giveUp)
	to := w.byID[msg.to.ID]
	w.deliver(n.host, to.host, func() {
		if !to.host.up {
			if w.refuse {
				w.deliver(to.host, n.host, giveUp)
			}
			return
		}
		to.host.meet(msg.req.From)
		reply := to.m.handle(msg.req)
		w.flush(to)
		w.flights[&reply] = true
		w.dirty = w.dirty || len(reply.Successors) > 0
		w.deliver(to.host, n.host, func() {
			delete(w.flights, &reply)
			finish(func() {
				if reply.Refusal == NotRefused {
					n.host.meet(reply.From)
				}
				if msg.token != 0 {
					n.m.answered(msg.token, reply)
				}
			})
		})
	})
}

// deliver runs do at the other end after a delay, unless the message is lost.
func (w *world) deliver(from, to *host, do func()) {
	if from == to {
		w.after(0, do)
		return
	}
	d := w.delay[0] + time.Duration(w.rng.Int64N(int64(w.delay[1]-w.delay[0])))
	lost := w.rng.Float64() < w.loss || w.cut != nil && w.cut(from, to)
	w.after(d, func() {
		if lost || from.side != to.side {
			return
		}
		if to.frozen > w.now {
			w.after(to.frozen-w.now, do)
			return
		}
		do()
	})
}

// crash stops a machine without a word.
func (w *world) crash(h *host) { h.up, w.dirty = false, true }

// leave has a machine say farewell and stop.
func (w *world) leave(h *host) {
	for _, n := range h.nodes {
		for _, msg := range n.m.leave() {
			w.send(n, msg, 0)
		}
	}
	w.dirty = true
	w.after(time.Second, func() { h.up = false })
}

// members are the live placed positions, in ring order.
func (w *world) members() []*node {
	var members []*node
	for _, h := range w.hosts {
		for _, n := range h.nodes {
			if w.isMember(n) {
				members = append(members, n)
			}
		}
	}
	slices.SortFunc(members, func(a, b *node) int { return a.m.self.ID.Compare(b.m.self.ID) })
	return members
}

func (w *world) isMember(n *node) bool { return n.host.up && n.m.placed && !n.m.left }

func (w *world) isLive(p Peer) bool { return w.isMember(w.byID[p.ID]) }
