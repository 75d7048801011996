package chord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrClosed reports a Ring whose Run has ended, or that is run twice.
var ErrClosed = errors.New("chord: ring is closed")

// viasPerTick is how many remembered peers a position is given to join through.
const viasPerTick = 16

// Ring drives the positions of one machine. Its methods may be called
// concurrently.
type Ring struct {
	self      MachineID
	transport Transport
	logger    *slog.Logger
	stabilize time.Duration
	machines  []*machine // in the order of Config.Positions; their state is guarded by mu
	byID      map[ID]*machine

	wake    chan struct{} // queue has messages
	changed chan struct{}
	placed  chan struct{} // closed when every position is placed

	mu       sync.Mutex
	book     *book
	rng      *rand.Rand // of timers
	queue    []job
	isPlaced bool
	running  bool
	closed   bool
}

// job is a message that a machine wants sent.
type job struct {
	machine *machine
	message message
}

// New returns a Ring that has started nothing. A Config that cannot be used is
// ErrConfig.
func New(c Config) (*Ring, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	r := &Ring{
		self:      c.Positions[0].Machine,
		transport: c.Transport,
		logger:    c.Logger,
		stabilize: c.Stabilize,
		byID:      make(map[ID]*machine),
		wake:      make(chan struct{}, 1),
		changed:   make(chan struct{}, 1),
		placed:    make(chan struct{}),
		book:      newBook(c),
		rng:       rand.New(rand.NewPCG(c.Seed, 1)),
	}
	for i, p := range c.Positions {
		m := newMachine(p, c.Successors, i == 0)
		r.machines = append(r.machines, m)
		r.byID[p.ID] = m
	}
	return r, nil
}

// Run joins the ring through remembered peers, or founds one if none answers,
// and keeps this machine's positions in it until ctx ends. It returns when all
// it started has ended, with nil. It can be called once; after it the Ring
// serves no more.
func (r *Ring) Run(ctx context.Context) error {
	r.mu.Lock()
	busy := r.running || r.closed
	r.running = true
	r.mu.Unlock()
	if busy {
		return ErrClosed
	}
	defer func() {
		r.mu.Lock()
		r.closed, r.running = true, false
		r.mu.Unlock()
	}()
	var g errgroup.Group
	for _, m := range r.machines {
		g.Go(func() error { r.ticker(ctx, m); return nil })
	}
	for {
		select {
		case <-ctx.Done():
			return g.Wait()
		case <-r.wake:
			for _, j := range r.takeQueue() {
				g.Go(func() error { r.perform(ctx, j); return nil })
			}
		}
	}
}

// ticker ticks m at once and then every stabilize interval, varied by a tenth.
func (r *Ring) ticker(ctx context.Context, m *machine) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r.with(m, func() {
			var vias []Peer
			if m.wantsVias() {
				vias = r.vias(m)
			}
			m.tick(vias)
		})
		r.mu.Lock()
		next := jittered(r.stabilize, r.rng)
		r.mu.Unlock()
		timer.Reset(next)
	}
}

// vias returns peers for m to join or reunite through. Positions beyond the
// first join through this machine's own ones too. It is called with mu held.
func (r *Ring) vias(m *machine) []Peer {
	var own []Peer
	for _, other := range r.machines {
		if other != m && other.placed && !m.placed && !other.left {
			own = append(own, other.self)
		}
	}
	return append(own, r.book.sample(viasPerTick, time.Now())...)
}

// with gives f the machine's state to itself, then passes on what it put out.
func (r *Ring) with(m *machine, f func()) {
	r.mu.Lock()
	f()
	out := m.take()
	for _, msg := range out {
		r.queue = append(r.queue, job{m, msg})
	}
	changed := m.takeChanged()
	placed := changed && !r.isPlaced && r.allPlaced()
	r.isPlaced = r.isPlaced || placed
	self, pred, head := m.self.ID, m.pred, m.head()
	r.mu.Unlock()

	if len(out) > 0 {
		signal(r.wake)
	}
	if placed {
		close(r.placed)
	}
	if changed {
		attrs := []any{"position", self.Short(), "successor", head.Short()}
		if pred != nil {
			attrs = append(attrs, "predecessor", pred.ID.Short())
		}
		r.logger.Debug("ring neighbours changed", attrs...)
		signal(r.changed)
	}
}

func (r *Ring) allPlaced() bool {
	for _, m := range r.machines {
		if !m.placed {
			return false
		}
	}
	return true
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *Ring) takeQueue() []job {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := r.queue
	r.queue = nil
	return queue
}

// perform sends one message and hands its outcome to the machine.
func (r *Ring) perform(ctx context.Context, j job) {
	tries := 1
	if j.message.confirm {
		tries = 2
	}
	reply, _, err := r.call(ctx, j.message.to, j.message.req, tries)
	if j.message.token == 0 {
		return
	}
	r.with(j.machine, func() {
		if err == nil || reply.Refusal != NotRefused {
			j.machine.answered(j.message.token, reply)
		} else {
			j.machine.failed(j.message.token)
		}
	})
}

// Handle serves a peer's request. The caller vouches for it that req.From is a
// position of the machine that sent it. A request for a position that is not
// here, not placed or leaving gets a Reply that says so; one beyond the limits
// of the protocol is ErrBadMessage; after Run has ended all are ErrClosed.
func (r *Ring) Handle(_ context.Context, req Request) (Reply, error) {
	if err := req.validate(); err != nil {
		return Reply{}, err
	}
	m := r.byID[req.To]
	if m == nil {
		return Reply{Refusal: RefusedNotHere}, nil
	}
	var reply Reply
	var err error
	r.with(m, func() {
		if r.closed {
			err = ErrClosed
			return
		}
		if req.From.Machine != r.self {
			r.book.heard(req.From, 0, time.Now())
		}
		reply = m.handle(req)
	})
	return reply, err
}

// Remember tells of peers that were heard of elsewhere. They are asked when
// joining and for reunion, and are hints for lookups. Up to 4096 are kept.
func (r *Ring) Remember(peers ...Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.book.remember(peers...)
}

// Forget removes machines that have left for good from what is remembered. One
// that still takes part is remembered again when it is next heard.
func (r *Ring) Forget(machines ...MachineID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range machines {
		r.book.forget(id)
	}
}

// RTT returns a machine's smoothed round-trip time, zero before any was
// measured, and when it was last heard. It is false for a machine never heard of.
func (r *Ring) RTT(id MachineID) (rtt time.Duration, heard time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.book.health[id]
	if h == nil || h.heard.IsZero() {
		return 0, time.Time{}, false
	}
	return h.srtt, h.heard, true
}

// Alive reports whether a machine has been heard of and has not failed to answer
// since. Only neighbours are asked all the time; of others it may be old news.
func (r *Ring) Alive(id MachineID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.book.health[id]
	return id == r.self || h != nil && !h.heard.IsZero() && !h.failed.After(h.heard)
}

// Changed returns a channel of capacity one that gets a value after the
// predecessor or the successor list of any own position changed. Several
// changes may come as one.
func (r *Ring) Changed() <-chan struct{} { return r.changed }

// Placed reports whether every own position has joined, or this machine found
// that it is alone.
func (r *Ring) Placed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isPlaced
}

// WaitPlaced returns nil once Placed holds, or the error of ctx.
func (r *Ring) WaitPlaced(ctx context.Context) error {
	select {
	case <-r.placed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("chord: wait to be placed: %w", context.Cause(ctx))
	}
}

// Leave tells the neighbours that this machine's positions go, so that they
// close the gap at once. From then on its positions refuse to serve; Lookup
// still works through others. Handing over data is to be done before. The error
// is that of a neighbour that could not be told; the rest were.
func (r *Ring) Leave(ctx context.Context) error {
	var farewells []message
	r.mu.Lock()
	for _, m := range r.machines {
		farewells = append(farewells, m.leave()...)
	}
	r.mu.Unlock()
	errs := make([]error, len(farewells))
	var g sync.WaitGroup
	for i, msg := range farewells {
		g.Go(func() {
			_, _, errs[i] = r.call(ctx, msg.to, msg.req, 2)
		})
	}
	g.Wait()
	return errors.Join(errs...)
}
