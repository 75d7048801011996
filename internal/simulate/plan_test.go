package simulate

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/register"
)

// plan is what a seed draws before a run begins. To draw anything more from the
// seed changes every later draw, and with it what the seeds in seeds_test.go
// stand for: draw new things last.
type plan struct {
	seed           uint64
	nodes, vnodes  int
	n, w, r        int
	delay, jitter  time.Duration
	names, clients int
	pause          time.Duration // of a client between two operations, at most
	largest        int           // bytes of a content, at most
	length         time.Duration // of the safety phase
	gap            time.Duration // between two faults, at most
	outage         time.Duration // how long a fault lasts, at most
	budget         int           // copies of a name that may be lost for good
	timing         node.Timing
	unhurried      bool // the product's own timing
	skewed         float64
	first          int // which fault comes first
}

// longestSafety keeps every outage shorter than the time after which those who
// are left take over from those who are away, the way back included.
const longestSafety = 40 * time.Second

// sizes of rings, and how many seeds in a hundred get one between this and the
// one before. Large rings cost more than their number of nodes.
var sizes = []struct{ percent, upTo int }{{30, 3}, {35, 5}, {25, 7}, {8, 12}, {2, 24}}

// settings are the N, W and R of rings, by how often they are drawn.
var settings = []struct{ percent, n, w, r int }{
	{68, 3, 2, 2}, {12, 5, 3, 3}, {6, 3, 3, 1}, {5, 4, 3, 2}, {5, 2, 2, 1}, {4, 1, 1, 1},
}

func draw(seed uint64) plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := plan{seed: seed, vnodes: 1}
	least, roll := 2, rng.IntN(100)
	for _, s := range sizes {
		if roll < s.percent {
			p.nodes = least + 1 + rng.IntN(s.upTo-least)
			break
		}
		roll -= s.percent
		least = s.upTo
	}
	if seed%500 == 0 { // a few large ones
		p.nodes = []int{60, 100, 200}[seed/500%3]
	}
	roll = rng.IntN(100)
	for _, s := range settings {
		if roll < s.percent {
			p.n, p.w, p.r = s.n, s.w, s.r
			break
		}
		roll -= s.percent
	}
	if p.nodes < 12 && rng.IntN(10) == 0 {
		p.vnodes = 2 + rng.IntN(2)
	}
	p.delay = []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 40 * time.Millisecond}[rng.IntN(4)]
	p.jitter = time.Millisecond + 3*p.delay
	p.names = 1 + rng.IntN(4)
	p.clients = 2 + rng.IntN(3)
	p.pause = []time.Duration{500 * time.Millisecond, time.Second, 3 * time.Second}[rng.IntN(3)]
	p.largest = []int{64, 64, 4 << 10, 4 << 10, 3 << 20}[rng.IntN(5)]
	p.length = longestSafety/2 + time.Duration(rng.Int64N(int64(longestSafety/2)))
	p.gap = []time.Duration{2 * time.Second, 4 * time.Second, 10 * time.Second}[rng.IntN(3)]
	p.outage = []time.Duration{2 * time.Second, 10 * time.Second, 25 * time.Second}[rng.IntN(3)]
	group := min(p.n, p.nodes)
	p.budget = min(p.w-1, group-register.Majority(group))
	p.timing = node.Timing{
		RepairAfter: 3 * time.Second, RepairEvery: 10 * time.Second,
		JoinSettle: 500 * time.Millisecond, DropAfter: 20 * time.Second,
	}
	if p.unhurried = rng.IntN(20) == 0; p.unhurried {
		p.timing = node.Timing{DropAfter: time.Minute}
	}
	p.skewed = []float64{0, 0, 0.3}[rng.IntN(3)]
	p.first = int(seed) % len(faults)
	return p
}

// bound is how long the ring may take to become whole once the last fault is over.
func (p plan) bound() time.Duration {
	if p.unhurried {
		return 10 * time.Minute
	}
	return 5 * time.Minute
}

func (p plan) options() ringtest.Options {
	return ringtest.Options{
		Nodes: p.nodes, N: p.n, W: p.w, R: p.r, VNodes: p.vnodes, AtOnce: true, Seed: p.seed, Timing: p.timing,
		Delay: p.delay, Jitter: p.jitter,
	}
}

func (p plan) String() string {
	return fmt.Sprintf("%d nodes of %d positions, N=%d W=%d R=%d, delay %v+%v, %d clients, %d names of up to %d bytes, %v of faults every %v lasting %v, budget %d",
		p.nodes, p.vnodes, p.n, p.w, p.r, p.delay, p.jitter, p.clients, p.names, p.largest, p.length, p.gap, p.outage, p.budget)
}
