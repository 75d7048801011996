package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// Seeds are chosen from the environment:
//
//	DHTFS_SIM_SEEDS  how many seeds to run
//	DHTFS_SIM_SEED   run this seed alone and print each of its steps
//
// A seed fixes the places on the ring, the faults and what clients ask for, not
// how goroutines take turns: a failure may need several runs to come again.
const (
	seedsVariable = "DHTFS_SIM_SEEDS"
	seedVariable  = "DHTFS_SIM_SEED"
	defaultSeeds  = 2
)

// TestSimulation has clients change a few names through all nodes while nodes
// crash and come back with their disks, links are cut, the ring is split and
// machines join, and checks that what the clients were told is linearizable.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), uint64(defaultSeeds)
	if s := os.Getenv(seedVariable); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, seedVariable)
		first, last = n, n
	} else if s := os.Getenv(seedsVariable); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, seedsVariable)
		last = n
	}
	var ops, known int
	for seed := first; seed <= last; seed++ {
		options := ringtest.Options{Nodes: 5, Seed: seed, Delay: 2 * time.Millisecond, Jitter: 8 * time.Millisecond}
		ringtest.Test(t, options, func(t *testing.T, r *ringtest.Ring) {
			w := newWorld(t, r, seed)
			w.run()
			for _, o := range w.history.ops {
				ops++
				if o.result != unknown {
					known++
				}
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d failed; see its steps with %s=%d go test -v -count=10 -run '^%s$'", seed, seedVariable, seed, t.Name())
		}
	}
	t.Logf("%d seeds: %d operations, %d answered", last-first+1, ops, known)
	require.Greater(t, known, ops*9/10, "most operations come through")
}

// world is one simulated run.
type world struct {
	t       *testing.T
	ring    *ringtest.Ring
	history history
	rng     *rand.Rand // of the faults
	seed    uint64
	names   []string

	mu    sync.Mutex
	lives []*life // one for each member
	over  bool    // no new operations
}

// life is a member's node while it runs.
type life struct {
	node   *node.Node
	ctx    context.Context
	cancel context.CancelFunc
}

// Sizes of a run.
const (
	simClients  = 4
	simNames    = 2
	simLength   = 90 * time.Second
	simPatience = 2 * time.Minute // of a client, as of the command line
)

func newWorld(t *testing.T, r *ringtest.Ring, seed uint64) *world {
	w := &world{t: t, ring: r, seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), history: history{start: time.Now()}}
	for i := range simNames {
		w.names = append(w.names, fmt.Sprint("name ", i))
	}
	for range r.Members {
		w.lives = append(w.lives, nil)
	}
	for i := range r.Members {
		w.enliven(i)
	}
	return w
}

func (w *world) logf(format string, args ...any) {
	if os.Getenv(seedVariable) != "" {
		w.t.Logf("%v: "+format, append([]any{time.Since(w.history.start)}, args...)...)
	}
}

// run is the whole of a run: creation in a ring at rest, clients and faults,
// rest, and a last look at every name through every node.
func (w *world) run() {
	for _, name := range w.names {
		w.perform(rand.New(rand.NewPCG(w.seed, 4)), 0, name, putIfAbsent)
	}
	var clients sync.WaitGroup
	for c := range simClients {
		rng := rand.New(rand.NewPCG(w.seed, 5+uint64(c)))
		clients.Go(func() {
			for !w.isOver() {
				w.perform(rng, c, w.names[rng.IntN(len(w.names))], kind(rng.IntN(int(kinds))))
				time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
			}
		})
	}
	for time.Since(w.history.start) < simLength {
		time.Sleep(time.Duration(w.rng.Int64N(int64(5 * time.Second))))
		w.fault()
	}
	w.rest()
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	clients.Wait()
	for i, m := range w.ring.Members {
		for _, name := range w.names {
			o := w.history.call(simClients+i, name, get)
			r, _ := w.get(w.t.Context(), m.Node, o)
			w.history.end(o, r)
			require.NotEqual(w.t, unknown, r, "%s at %s after the faults", name, m.Host)
		}
	}
	w.history.check(w.t)
}

func (w *world) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// fault does one thing to the ring, or ends one.
func (w *world) fault() {
	members := w.ring.Members
	i := w.rng.IntN(len(members))
	m := members[i]
	other := members[w.rng.IntN(len(members))]
	switch what := w.rng.IntN(10); {
	case !m.Running():
		w.logf("start %s", m.Host)
		w.ring.Start(m)
		w.enliven(i)
	case what < 3:
		w.crash(i)
	case what == 3:
		w.crash(i, (i+1)%len(members))
	case what == 4:
		w.logf("stop %s", m.Host)
		w.kill(i)
		w.ring.Stop(m)
	case what == 5 && m != other:
		w.logf("cut from %s to %s", m.Host, other.Host)
		w.ring.Net.Cut(m.Host, other.Host)
	case what == 6:
		side := w.rng.Perm(len(members))[:1+w.rng.IntN(len(members)-1)]
		var left, right []*ringtest.Member
		for k, m := range members {
			if slices.Contains(side, k) {
				left = append(left, m)
			} else {
				right = append(right, m)
			}
		}
		w.logf("split %v from %v", ringtest.Hosts(left...), ringtest.Hosts(right...))
		w.ring.Net.Partition(ringtest.Hosts(left...), ringtest.Hosts(right...))
	case what == 7 && len(members) < 7 && members[0].Running():
		w.ring.Net.HealAll()
		w.logf("join")
		joined := w.ring.Admit()
		w.ring.Start(joined)
		w.lives = append(w.lives, nil)
		w.enliven(len(w.lives) - 1)
	default:
		w.logf("heal")
		w.ring.Net.HealAll()
	}
}

// rest ends all faults and waits until the ring has recovered.
func (w *world) rest() {
	w.logf("rest")
	w.ring.Net.HealAll()
	for i, m := range w.ring.Members {
		if !m.Running() {
			w.ring.Start(m)
			w.enliven(i)
		}
	}
	w.ring.Ready(w.ring.Members...)
	time.Sleep(time.Minute)
}

func (w *world) enliven(i int) {
	l := &life{node: w.ring.Members[i].Node}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives[i] = l
}

// kill takes a member from the clients; what they asked it goes unanswered.
func (w *world) kill(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives[i].cancel()
	w.lives[i] = nil
}

func (w *world) crash(which ...int) {
	var victims []*ringtest.Member
	for _, i := range which {
		if m := w.ring.Members[i]; m.Running() {
			w.logf("crash %s", m.Host)
			w.kill(i)
			victims = append(victims, m)
		}
	}
	w.ring.Crash(victims...)
}

// pick chooses a member that runs; nil if there is none.
func (w *world) pick(rng *rand.Rand) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	up := slices.DeleteFunc(slices.Clone(w.lives), func(l *life) bool { return l == nil })
	if len(up) == 0 {
		return nil
	}
	return up[rng.IntN(len(up))]
}

// attempt is what a client keeps from one attempt to the next.
type attempt struct {
	op    filestore.OpID
	base  uint64
	based bool // base is known
}

// perform carries out one operation as a client does: through one node, and
// where that gives no answer again through another, with the same operation ID.
func (w *world) perform(rng *rand.Rand, client int, name string, k kind) {
	o := w.history.call(client, name, k)
	a := attempt{op: node.NewOp()}
	for time.Since(w.history.start)-o.from < simPatience {
		if l := w.pick(rng); l != nil {
			ctx, cancel := context.WithTimeout(l.ctx, 30*time.Second)
			r, err := w.try(ctx, l.node, o, &a)
			cancel()
			if l.ctx.Err() != nil {
				r, err = unknown, l.ctx.Err() // the answer never arrived
			}
			if r != unknown {
				w.history.end(o, r)
				return
			}
			require.True(w.t, passing(err), "%v %s: %v", k, name, err)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
	}
	w.history.end(o, unknown)
}

// passing reports whether an error is one that faults may cause.
func passing(err error) bool {
	for _, e := range []error{node.ErrUnavailable, node.ErrOutcome, node.ErrInterrupted, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (w *world) try(ctx context.Context, n *node.Node, o *operation, a *attempt) (result, error) {
	if o.kind == get {
		return w.get(ctx, n, o)
	}
	if !a.based {
		f, err := n.Stat(ctx, o.name)
		if err != nil && !errors.Is(err, node.ErrNotFound) {
			return unknown, err
		}
		a.base, a.based = f.Record.Changes, true
	}
	var err error
	if o.kind == remove {
		err = n.Delete(ctx, o.name, a.op, a.base)
	} else {
		options := node.StoreOptions{Op: a.op, Base: a.base}
		if o.kind == put {
			options.IfExists = node.Replace
		}
		_, err = n.Store(ctx, o.name, strings.NewReader(strconv.Itoa(o.value)), options)
	}
	switch {
	case err == nil:
		return done, nil
	case errors.Is(err, node.ErrExists):
		return taken, nil
	case errors.Is(err, node.ErrNotFound):
		return absent, nil
	}
	return unknown, err
}

func (w *world) get(ctx context.Context, n *node.Node, o *operation) (result, error) {
	b, f, err := ringtest.Fetch(ctx, &ringtest.Member{Node: n}, o.name, node.FetchOptions{})
	switch {
	case errors.Is(err, node.ErrNotFound):
		o.value = 0
		return done, nil
	case err != nil:
		return unknown, err
	case !f.Confirmed:
		return unknown, node.ErrUnavailable
	}
	o.value, err = strconv.Atoi(string(b))
	return done, err
}
