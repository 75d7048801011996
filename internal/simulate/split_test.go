package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// A split long enough for either side to take over from the other, with a
// client on each: what a side was told last about a name must be there after the
// split has healed, under the name or as a conflict copy.

// drawSplit is a plan without faults but the split, for as long as length.
func drawSplit(seed uint64) plan {
	p := draw(seed)
	rng := rand.New(rand.NewPCG(seed, 11))
	p.nodes, p.vnodes = 4+rng.IntN(6), 1
	p.n, p.w, p.r = 3, 2, 2
	p.skewed, p.unhurried = 0, false
	p.timing = node.Timing{RepairAfter: 3 * time.Second, RepairEvery: 10 * time.Second, JoinSettle: 500 * time.Millisecond, DropAfter: 20 * time.Second}
	p.names = 2 + rng.IntN(4)
	p.largest = 512
	p.length = 20*time.Second + time.Duration(rng.Int64N(int64(130*time.Second)))
	return p
}

// side is one side of a split and the last that its client was told of each name.
type side struct {
	members []*ringtest.Member
	last    map[string]*operation // changes; of refused ones nothing is kept
}

func TestSplits(t *testing.T) {
	counts := newTally()
	runs := eachSeed(t, few{1, 4}, drawSplit, func(p plan) {
		ringtest.Test(t, p.options(), func(t *testing.T, r *ringtest.Ring) { newWorld(t, r, p, counts).split() })
	})
	t.Logf("%d splits\n%v", runs, counts)
}

func (w *world) split() {
	w.logf("%v", w.plan)
	time.Sleep(stable)
	before := side{members: w.ring.Members, last: map[string]*operation{}}
	for _, name := range w.names {
		w.change(w.rng, &before, name, put)
	}
	members := w.ring.Members
	w.rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	k := 1 + w.rng.IntN(len(members)-1)
	sides := []*side{{members: members[:k], last: map[string]*operation{}}, {members: members[k:], last: map[string]*operation{}}}
	w.logf("split %v from %v for %v", ringtest.Hosts(members[:k]...), ringtest.Hosts(members[k:]...), w.plan.length)
	w.ring.Net.Partition(ringtest.Hosts(members[:k]...), ringtest.Hosts(members[k:]...))
	end := time.Now().Add(w.plan.length)
	var clients sync.WaitGroup
	for c, s := range sides {
		rng := rand.New(rand.NewPCG(w.plan.seed, 20+uint64(c)))
		clients.Go(func() {
			for time.Now().Before(end) {
				k := put
				if rng.IntN(6) == 0 {
					k = remove
				}
				w.change(rng, s, w.names[rng.IntN(len(w.names))], k)
				time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
			}
		})
	}
	clients.Wait()
	w.logf("heal")
	w.ring.Net.HealAll()
	w.wait(fmt.Sprintf("one ring within %v", oneRing), oneRing, func() string {
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		return disorder(ctx, members[0], len(members))
	})
	w.wait("the ring is whole", w.plan.bound(), w.lacks)
	for _, s := range sides {
		for name, o := range s.last {
			w.accountFor(sides, name, o)
		}
	}
	for _, name := range w.names { // nobody changed it: it has what it had
		if sides[0].last[name] == nil && sides[1].last[name] == nil {
			w.accountFor(sides, name, before.last[name])
		}
	}
	w.finish()
}

// oneRing is how long two rings may take to become one.
const oneRing = 30 * time.Second

func (w *world) wait(what string, limit time.Duration, lacks func() string) {
	lack := ""
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Second) {
		if lack = lacks(); lack == "" {
			return
		}
	}
	w.t.Errorf("%s: not so: %s", what, lack)
}

// change has a side's client change a name once, with the operation noted as the
// side's last of that name. One whose outcome is unknown counts as the last too:
// it may have replaced what was there before.
func (w *world) change(rng *rand.Rand, s *side, name string, k kind) {
	o := w.history.Call(0, name, k)
	a := attempt{op: node.NewOp(), content: content(w.plan.seed, o.Value, w.plan.largest)}
	by := s.members[rng.IntN(len(s.members))]
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	r, err := w.try(ctx, by.Node, o, &a)
	w.history.End(o, r)
	switch {
	case r == unknown && !passing(err):
		w.t.Errorf("%v %s at %s: %v", k, name, by.Host, err)
	case r == unknown && err != nil && a.based: // before that nothing was asked for
		s.last[name] = o
	case r == done:
		s.last[name] = o
	}
}

// accountFor looks for the version that an operation stored.
func (w *world) accountFor(sides []*side, name string, o *operation) {
	if o.Kind != put || o.Result != done {
		w.tally.count("(a last change that was a deletion, or of unknown outcome)")
		return
	}
	by := w.ring.Members[w.rng.IntN(len(w.ring.Members))]
	places := []string{name}
	_, err := by.List(w.t.Context(), node.ListOptions{Ring: true, Prefix: name + " (conflict "}, func(f node.File) error {
		places = append(places, f.Record.Name)
		return nil
	})
	assert.NoError(w.t, err)
	for _, place := range places {
		b, _, err := ringtest.Fetch(w.t.Context(), by, place, node.FetchOptions{})
		if err != nil {
			continue
		}
		if value, err := valueOf(w.plan.seed, b, w.plan.largest); assert.NoError(w.t, err, place) && value == o.Value {
			w.tally.count("a last version kept " + map[bool]string{true: "under its name", false: "as a conflict copy"}[place == name])
			return
		}
	}
	w.t.Errorf("value %d, acknowledged on one side (%v to %v), is nowhere: not in %s", o.Value, o.From, o.Until, strings.Join(places, ", "))
	for i, s := range sides {
		w.t.Logf("side %d: %v; last %+v", i, ringtest.Hosts(s.members...), s.last[name])
	}
}
