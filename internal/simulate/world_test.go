package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dhtfs/dhtfs/internal/history"
	"github.com/dhtfs/dhtfs/internal/ringtest"
)

// world is one run.
type world struct {
	t       *testing.T
	ring    *ringtest.Ring
	plan    plan
	tally   *tally
	history history.History
	names   []string

	// Of the goroutine that runs the faults.
	rng   *rand.Rand
	ends  []ending // of faults that last
	dealt int      // faults so far
	busy  map[*ringtest.Member]bool
	slow  map[*ringtest.Member]bool // those whose disk is
	gone  map[*ringtest.Member]bool // for good
	cuts  int                       // faults of the network that last
	lost  int                       // copies lost for good

	mu    sync.Mutex
	lives []*life
	over  bool // no new operations
}

// stable is how long a group must have been as it is for its names' creation.
const stable = 12 * time.Second

// ending is when and how a fault ends.
type ending struct {
	at time.Time
	do func()
}

// run plays a plan in a bubble.
func run(t *testing.T, p plan, counts *tally) *world {
	var w *world
	ringtest.Test(t, p.options(), func(t *testing.T, r *ringtest.Ring) {
		w = newWorld(t, r, p, counts)
		w.play()
	})
	return w
}

func newWorld(t *testing.T, r *ringtest.Ring, p plan, counts *tally) *world {
	w := &world{
		t: t, ring: r, plan: p, tally: counts, history: history.History{Start: time.Now()},
		rng: rand.New(rand.NewPCG(p.seed, 3)), busy: map[*ringtest.Member]bool{}, slow: map[*ringtest.Member]bool{}, gone: map[*ringtest.Member]bool{},
	}
	for i := range p.names {
		w.names = append(w.names, fmt.Sprint("name ", i))
	}
	return w
}

func (w *world) logf(format string, args ...any) {
	if os.Getenv(seedVariable) != "" {
		w.t.Logf("%v: "+format, append([]any{time.Since(w.history.Start)}, args...)...)
	}
}

// play is the whole of a run: creation in a ring at rest, clients and faults,
// healing, and a last look at everything.
func (w *world) play() {
	w.logf("%v", w.plan)
	for _, m := range w.ring.Members {
		w.enliven(m)
		if w.rng.Float64() < w.plan.skewed {
			m.Skew = time.Duration(w.rng.IntN(2)*2-1) * time.Hour // from its next start on
		}
	}
	time.Sleep(stable) // a name's creation is promised to be linearizable only in a group at rest
	w.history.Start = time.Now()
	rng := rand.New(rand.NewPCG(w.plan.seed, 4))
	for _, name := range w.names {
		w.perform(rng, 0, name, putIfAbsent)
	}
	var clients sync.WaitGroup
	for c := range w.plan.clients {
		rng := rand.New(rand.NewPCG(w.plan.seed, 5+uint64(c)))
		clients.Go(func() { w.client(c, rng) })
	}
	w.storm()
	w.logf("the faults end")
	for len(w.ends) > 0 {
		w.endFirst()
	}
	w.ring.Net.HealAll()
	time.Sleep(5 * time.Second) // clients go on while the ring heals
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	clients.Wait()
	w.settle()
	if err := w.history.Check(); err != nil {
		w.t.Error(err)
	}
	w.finish()
}

func (w *world) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// storm has faults strike and end until their time is over.
func (w *world) storm() {
	until := time.Now().Add(w.plan.length)
	strike := time.Now()
	for {
		next := strike
		if len(w.ends) > 0 && w.ends[0].at.Before(next) {
			next = w.ends[0].at
		}
		if next.After(until) {
			return
		}
		time.Sleep(time.Until(next))
		if next.Equal(strike) {
			w.strike(until)
			strike = time.Now().Add(time.Duration(w.rng.Int64N(int64(w.plan.gap))))
		} else {
			w.endFirst()
		}
	}
}

// strike does one thing to the ring: first the seed's own kind, so that every
// kind has its turn, then any.
func (w *world) strike(until time.Time) {
	f := faults[w.rng.IntN(len(faults))]
	if w.dealt == 0 {
		f = faults[w.plan.first]
	}
	end := f.strike(w)
	if end == nil {
		w.dealt++
		return
	}
	w.dealt++
	w.tally.count(f.name)
	at := time.Now().Add(time.Duration(w.rng.Int64N(int64(w.plan.outage))))
	if at.After(until) {
		at = until
	}
	w.ends = append(w.ends, ending{at, end})
	slices.SortStableFunc(w.ends, func(a, b ending) int { return a.at.Compare(b.at) })
}

func (w *world) endFirst() {
	end := w.ends[0].do
	w.ends = w.ends[1:]
	end()
}

// start starts a member and offers it to the clients. One whose disk is full gets
// room before: to write what a power failure has torn takes some.
func (w *world) start(m *ringtest.Member) {
	m.Disk.SetCapacity(math.MaxInt64)
	defer w.await(m)()
	w.ring.Start(m)
	w.enliven(m)
	if m.Skew != 0 {
		w.tally.count(skewedClock)
	}
}
