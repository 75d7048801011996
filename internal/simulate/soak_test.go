package simulate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// soakPlan is a long life under churn: each machine runs for a time drawn from
// an exponential distribution, crashes, is away for a while and comes back.
type soakPlan struct {
	seed    uint64
	nodes   int
	files   int
	length  time.Duration
	session time.Duration // median time that a machine runs
	away    time.Duration // mean time that it is away
	loss    float64       // chance that a crash takes the disk too; another machine joins instead
}

// Sessions of the soak, and what share of lookups must be right after retries.
var sessions = []struct {
	median time.Duration
	right  float64
}{
	{84 * time.Second, 0.99},
	{10 * time.Minute, 0.999},
	{time.Hour, 0.9999},
}

// TestSoak plays the sessions with disks that come back, and one with disks that
// are lost. Its size comes from the environment: HOURS, NODES (100 if it is not
// given), SEED, and SESSION, the median one where disks are lost (10m). Without HOURS
// it is a ring of eight for two minutes, and the shortest session alone; for the race
// detector only with disks that are lost.
func TestSoak(t *testing.T) {
	p := soakPlan{seed: number(t, "SEED", 1), nodes: 8, length: 2 * time.Minute}
	play, mortal, loss := sessions[:1], sessions[0].median, 0.5
	if s := os.Getenv("HOURS"); s != "" {
		hours, err := strconv.ParseFloat(s, 64)
		require.NoError(t, err, "HOURS")
		p.nodes, p.length = int(number(t, "NODES", 100)), time.Duration(hours*float64(time.Hour))
		play, mortal, loss = sessions, sessions[1].median, 0.2
	}
	if s := os.Getenv("SESSION"); s != "" {
		session, err := time.ParseDuration(s)
		require.NoError(t, err, "SESSION")
		mortal = session
	}
	if bubble.RaceDetector {
		play = nil
	}
	p.files = 2 * p.nodes
	for _, s := range play {
		p.session, p.away, p.loss = s.median, min(time.Minute, s.median/4), 0
		t.Run("median session "+s.median.String(), func(t *testing.T) {
			k := p.run(t)
			assert.Zero(t, k.lostFiles, "acknowledged files are lost")
			k.checkLookups(t, s.right)
		})
	}
	p.session, p.away, p.loss = mortal, min(30*time.Second, mortal/4), loss
	t.Run("disks are lost", func(t *testing.T) { p.run(t) })
}

// soak is one run of a soakPlan.
type soak struct {
	*world
	soakPlan
	healing  time.Duration // from the end of the churn to the ring being whole
	watching sync.WaitGroup

	mu        sync.Mutex
	repairs   []time.Duration // from a lost disk to a file that was on it having its copies again
	acked     map[string]int  // the last version acknowledged
	unsure    map[string]int  // a later one that may have been stored
	next      int
	crashes   int
	lostDisks int
	lostFiles int
	counts    struct{ lookups, first, retried, stores, stored, fetches, fetched int }
}

func (p soakPlan) run(t *testing.T) (k *soak) {
	options := ringtest.Options{
		Nodes: p.nodes, AtOnce: true, Seed: p.seed, Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond,
		Timing: node.Timing{DropAfter: 5 * time.Minute},
	}
	began := time.Now()
	ringtest.Test(t, options, func(t *testing.T, r *ringtest.Ring) {
		k = &soak{soakPlan: p, acked: map[string]int{}, unsure: map[string]int{}}
		k.world = newWorld(t, r, plan{seed: p.seed, n: 3, vnodes: 1, largest: 512}, newTally())
		k.live()
	})
	k.report(t, time.Since(began))
	return k
}

func (k *soak) live() {
	for _, m := range k.ring.Members {
		k.enliven(m)
	}
	time.Sleep(stable)
	for i := range k.files {
		k.names = append(k.names, fmt.Sprint("name ", i))
		k.storeOnce(k.rng, k.names[i])
	}
	var clients sync.WaitGroup
	for c := range 2 {
		rng := rand.New(rand.NewPCG(k.seed, 5+uint64(c)))
		clients.Go(func() {
			for !k.isOver() {
				if c == 0 {
					k.lookup(rng)
				} else if name := k.names[rng.IntN(len(k.names))]; rng.IntN(2) == 0 {
					k.storeOnce(rng, name)
				} else {
					k.fetchOnce(rng, name)
				}
				time.Sleep(time.Duration(rng.Int64N(int64(4 * time.Second))))
			}
		})
	}
	k.churn()
	k.world.mu.Lock()
	k.over = true
	k.world.mu.Unlock()
	clients.Wait()
	k.watching.Wait()
	k.heal()
	k.finish()
}

// churn has machines crash and come back until the time is over.
func (k *soak) churn() {
	end := time.Now().Add(k.length)
	for _, m := range k.ring.Members {
		k.crashLater(m)
	}
	for len(k.ends) > 0 && k.ends[0].at.Before(end) {
		time.Sleep(time.Until(k.ends[0].at))
		k.endFirst()
	}
	k.ends = nil
	time.Sleep(time.Until(end))
}

func (k *soak) later(mean time.Duration, do func()) {
	k.ends = append(k.ends, ending{time.Now().Add(time.Duration(k.rng.ExpFloat64() * float64(mean))), do})
	slices.SortStableFunc(k.ends, func(a, b ending) int { return a.at.Compare(b.at) })
}

// crashLater has a member crash at the end of a session. The founder keeps its
// disk, since it lets the others in.
func (k *soak) crashLater(m *ringtest.Member) {
	k.later(time.Duration(float64(k.session)/math.Ln2), func() {
		k.bury(m)
		k.crashes++
		if m != k.ring.Members[0] && k.rng.Float64() < k.loss {
			k.lostDisks++
			k.ring.Lose(m)
			k.gone[m] = true
			k.watching.Go(func() { k.watchRepair(m.Membership.Machine()) })
			k.replaceLater()
			return
		}
		k.ring.Crash(m)
		k.later(k.away, func() {
			k.start(m)
			k.crashLater(m)
		})
	})
}

// replaceLater has a new machine join for one that is lost.
func (k *soak) replaceLater() {
	k.later(k.away, func() {
		if !k.ring.Members[0].Running() {
			k.replaceLater()
			return
		}
		m := k.ring.Admit()
		k.start(m)
		k.crashLater(m)
	})
}

// watchRepair takes the time until a file that a lost machine had a copy of has
// all its copies again, on machines that run.
func (k *soak) watchRepair(lost node.MachineID) {
	began := time.Now()
	copies := func(name string) (durable int, had bool) {
		l := k.pick(rand.New(rand.NewPCG(uint64(began.UnixNano()), 0)))
		if l == nil {
			return 0, false
		}
		ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
		defer cancel()
		f, err := l.node.Stat(ctx, name)
		if err != nil {
			return 0, false
		}
		for _, h := range f.Holders {
			if h.Voter && h.State == node.Durable {
				durable++
			}
			had = had || h.Voter && h.Machine == lost
		}
		return durable, had
	}
	for _, name := range k.names {
		if _, had := copies(name); !had {
			continue
		}
		for !k.isOver() {
			time.Sleep(5 * time.Second)
			if durable, had := copies(name); !had && durable >= k.plan.n {
				k.mu.Lock()
				k.repairs = append(k.repairs, time.Since(began))
				k.mu.Unlock()
				return
			}
		}
		return
	}
}

// predicted is how many of the files one would expect to lose: a file with N
// copies is lost when the machines of all of them lose their disks before it was
// repaired, N! λ^N R^(N-1) a unit of time for machines that lose theirs at the
// rate λ and a repair that takes R, as long as λR is small.
func (k *soak) predicted() (files float64, repair time.Duration) {
	if len(k.repairs) == 0 {
		return 0, 0
	}
	for _, r := range k.repairs {
		repair += r
	}
	repair /= time.Duration(len(k.repairs))
	lambda := float64(k.lostDisks) / float64(k.nodes) / k.length.Seconds()
	rate := 6 * lambda * lambda * lambda * repair.Seconds() * repair.Seconds() // N is 3
	return rate * k.length.Seconds() * float64(len(k.names)), repair
}

// lookup asks a node for the owner of a random key, up to three times.
func (k *soak) lookup(rng *rand.Rand) {
	var key [20]byte
	for i := range key {
		key[i] = byte(rng.Uint32())
	}
	for try := range 3 {
		l := k.pick(rng)
		if l == nil {
			return
		}
		allowed := k.owners(key)
		ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
		got, _, err := l.node.Locate(ctx, key)
		cancel()
		if l.ctx.Err() != nil {
			return // the node that was asked has died
		}
		right := err == nil && (allowed[got.Owner.ID] || k.owners(key)[got.Owner.ID])
		k.mu.Lock()
		if try == 0 {
			k.counts.lookups++
			if right {
				k.counts.first++
			}
		}
		if right {
			k.counts.retried++
		}
		k.mu.Unlock()
		if right {
			return
		}
		time.Sleep(time.Second)
	}
}

// owners are the positions that a key may be said to belong to now: the first at
// or after it of those that run, and of those that are in their places.
func (k *soak) owners(key [20]byte) map[[20]byte]bool {
	k.world.mu.Lock()
	lives := slices.Clone(k.lives)
	k.world.mu.Unlock()
	type at struct{ away, id [20]byte }
	var running, placed []at
	for _, l := range lives {
		p := l.node.Fingers()[0]
		a := at{id: p.Self.ID}
		borrow := 0
		for i := 19; i >= 0; i-- { // how far the position lies behind the key
			d := int(p.Self.ID[i]) - int(key[i]) - borrow
			borrow = 0
			if d < 0 {
				d, borrow = d+256, 1
			}
			a.away[i] = byte(d)
		}
		running = append(running, a)
		if p.Placed {
			placed = append(placed, a)
		}
	}
	allowed := map[[20]byte]bool{}
	for _, set := range [][]at{running, placed} {
		if len(set) > 0 {
			allowed[slices.MinFunc(set, func(a, b at) int { return strings.Compare(string(a.away[:]), string(b.away[:])) }).id] = true
		}
	}
	return allowed
}

// storeOnce stores a new version of a name, as a client with its retries does.
func (k *soak) storeOnce(rng *rand.Rand, name string) {
	k.mu.Lock()
	k.next++
	value := k.next
	k.unsure[name] = value
	k.mu.Unlock()
	o := &operation{Name: name, Kind: put, Value: value}
	a := attempt{op: node.NewOp(), content: content(k.seed, value, k.plan.largest)}
	r := k.persist(rng, func(ctx context.Context, l *life) (result, error) { return k.try(ctx, l.node, o, &a) })
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counts.stores++
	if r == done {
		k.counts.stored++
		k.acked[name] = value
		delete(k.unsure, name)
	}
}

func (k *soak) fetchOnce(rng *rand.Rand, name string) {
	r := k.persist(rng, func(ctx context.Context, l *life) (result, error) {
		b, _, err := ringtest.Fetch(ctx, &ringtest.Member{Node: l.node}, name, node.FetchOptions{})
		if err != nil {
			return unknown, err
		}
		if _, err := valueOf(k.seed, b, k.plan.largest); err != nil {
			k.t.Errorf("a fetch of %s: %v", name, err)
		}
		return done, nil
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counts.fetches++
	if r == done {
		k.counts.fetched++
	}
}

// persist tries through one node after the other for as long as a client does.
func (k *soak) persist(rng *rand.Rand, try func(context.Context, *life) (result, error)) result {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if l := k.pick(rng); l != nil {
			ctx, cancel := context.WithTimeout(l.ctx, 30*time.Second)
			r, _ := try(ctx, l)
			cancel()
			if r != unknown && l.ctx.Err() == nil {
				return r
			}
		}
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
	}
	return unknown
}

// heal starts all machines that are not lost, waits until the ring is whole, and
// looks for the version of every name that was acknowledged last.
func (k *soak) heal() {
	healing := time.Now()
	for _, m := range k.ring.Members {
		if !m.Running() && !k.gone[m] {
			k.start(m)
		}
	}
	k.ring.Ready(k.ring.Up()...)
	lack := ""
	for time.Since(healing) < 30*time.Minute {
		if lack = k.lacks(); lack == "" {
			break
		}
		time.Sleep(5 * time.Second)
	}
	if lack != "" {
		k.t.Logf("not whole after %v: %s", time.Since(healing), lack)
		assert.NotZero(k.t, k.lostDisks, "not whole after %v: %s", time.Since(healing), lack)
	}
	k.healing = time.Since(healing)
	for i, name := range k.names {
		up := k.ring.Up()
		b, f, err := ringtest.Fetch(k.t.Context(), up[i%len(up)], name, node.FetchOptions{})
		value := 0
		if err == nil {
			value, err = valueOf(k.seed, b, k.plan.largest)
		}
		if err != nil || value != k.acked[name] && value != k.unsure[name] {
			k.lostFiles++
			k.t.Logf("%s: version %d was acknowledged, %d is there (%v)", name, k.acked[name], value, err)
		} else if !f.Confirmed && k.lostDisks == 0 {
			k.t.Errorf("%s is not confirmed", name)
		}
	}
}

func (k *soak) checkLookups(t *testing.T, share float64) {
	t.Helper()
	if k.counts.lookups > 1000 { // fewer say nothing about a share of 0.01 %
		assert.GreaterOrEqual(t, float64(k.counts.retried)/float64(k.counts.lookups), share, "lookups that are right after retries")
	}
}

func (k *soak) report(t *testing.T, took time.Duration) {
	c := k.counts
	predicted, repair := k.predicted()
	t.Logf("%d nodes, %v, median session %v, away %v on average: %d crashes, %d disks lost\n"+
		"lookups: %d, right at once %.4f, after retries %.4f; stores %d of %d, fetches %d of %d came through\n"+
		"whole %v after the churn; %d of %d files lost, %.2g predicted from %d repairs of %v on average; %v of real time",
		k.nodes, k.length, k.session, k.away, k.crashes, k.lostDisks,
		c.lookups, share(c.first, c.lookups), share(c.retried, c.lookups), c.stored, c.stores, c.fetched, c.fetches,
		k.healing, k.lostFiles, len(k.names), predicted, len(k.repairs), repair, took.Round(time.Second))
}

func share(part, of int) float64 { return float64(part) / float64(max(1, of)) }
