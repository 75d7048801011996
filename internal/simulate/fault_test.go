package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// slow is how long a slow disk or link takes. Where a node's start or end is waited for
// its disk takes no longer than slowAwaited: they do a few things one after the other,
// and hold up whatever is to end meanwhile, so that others would be away for longer than
// planned.
const (
	slow        = 5 * time.Second
	slowAwaited = time.Second
)

// await has a member's disk be no slower than that until done is called.
func (w *world) await(m *ringtest.Member) (done func()) {
	if !w.slow[m] {
		return func() {}
	}
	m.Disk.SetLatency(slowAwaited)
	return func() { m.Disk.SetLatency(slow) }
}

// fault is a kind of fault. strike does it and returns what ends it; nil if
// there is nothing that it can be done to now.
type fault struct {
	name   string
	strike func(w *world) (end func())
}

// A fault that is over at once ends with nothing.
func over() {}

// faults are all kinds there are, in the order in which seeds begin with them.
var faults = []fault{
	{"a crash", func(w *world) func() { return w.down(w.ring.Crash, w.victims(1)...) }},
	{"a crash of two at once", func(w *world) func() { return w.down(w.ring.Crash, w.victims(2)...) }},
	{"a power failure that peers do not notice", func(w *world) func() { return w.down(w.ring.Blackout, w.victims(1)...) }},
	{"a stop", func(w *world) func() { return w.down(w.stop, w.victims(1)...) }},
	{"a one-way cut", (*world).cutOneWay},
	{"a partition", (*world).partition},
	{"a pause", (*world).pauseOne},
	{"reset connections", (*world).resetAll},
	{"a slow link", (*world).slowLink},
	{"a slow disk", (*world).slowDisk},
	{"a failing disk", (*world).failDisk},
	{"a full disk", (*world).fillDisk},
	{"bit rot", (*world).rot},
	{"a lost disk", (*world).loseDisk},
	{"a join", (*world).join},
	{"a logout", (*world).logout},
}

// down ends members in some way and starts them again later.
func (w *world) down(how func(...*ringtest.Member), victims ...*ringtest.Member) func() {
	if len(victims) == 0 {
		return nil
	}
	w.logf("down: %v", ringtest.Hosts(victims...))
	for _, m := range victims {
		w.seize(m)
		w.bury(m)
	}
	how(victims...)
	return func() {
		for _, m := range victims {
			w.logf("up: %s", m.Host)
			w.start(m)
			w.release(m)
		}
	}
}

func (w *world) stop(members ...*ringtest.Member) {
	for _, m := range members {
		done := w.await(m)
		w.ring.Stop(m)
		done()
	}
}

func (w *world) cutOneWay() func() {
	two := w.victims(2)
	if len(two) < 2 {
		return nil
	}
	from, to := two[0].Host, two[1].Host
	w.logf("cut from %s to %s", from, to)
	w.ring.Net.Cut(from, to)
	return w.networkFault(func() { w.ring.Net.Heal(from, to) })
}

func (w *world) partition() func() {
	hosts := ringtest.Hosts(w.ring.Members...)
	if len(hosts) < 2 {
		return nil
	}
	w.rng.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	k := 1 + w.rng.IntN(len(hosts)-1)
	left, right := hosts[:k], hosts[k:]
	w.logf("split %v from %v", left, right)
	w.ring.Net.Partition(left, right)
	return w.networkFault(func() {
		for _, a := range left {
			for _, b := range right {
				w.ring.Net.Heal(a, b)
			}
		}
	})
}

// pauseOne has nothing reach a node and nothing leave it: it is all there, and
// late. Its timers run on, other than those of a process that was stopped.
func (w *world) pauseOne() func() {
	one := w.victims(1)
	if len(one) == 0 {
		return nil
	}
	w.logf("pause %s", one[0].Host)
	rest := ringtest.Hosts(slices.DeleteFunc(slices.Clone(w.ring.Members), func(m *ringtest.Member) bool { return m == one[0] })...)
	w.ring.Net.Partition(ringtest.Hosts(one...), rest)
	return w.networkFault(func() {
		for _, b := range rest {
			w.ring.Net.Heal(one[0].Host, b)
		}
	})
}

func (w *world) resetAll() func() {
	one := w.victims(1)
	if len(one) == 0 {
		return nil
	}
	w.logf("reset the connections of %s", one[0].Host)
	for _, m := range w.ring.Members {
		w.ring.Net.Drop(one[0].Host, m.Host)
	}
	return over
}

func (w *world) slowLink() func() {
	two := w.victims(2)
	if len(two) < 2 {
		return nil
	}
	a, b := two[0].Host, two[1].Host
	w.logf("slow link between %s and %s", a, b)
	w.ring.Net.SetDelay(a, b, slow, 0)
	return func() { w.ring.Net.SetDelay(a, b, w.plan.delay, w.plan.jitter) }
}

func (w *world) slowDisk() func() {
	one := w.victims(1)
	if len(one) == 0 {
		return nil
	}
	w.logf("slow disk at %s", one[0].Host)
	disk := one[0].Disk
	disk.SetLatency(slow)
	w.slow[one[0]] = true
	return func() {
		disk.SetLatency(0)
		delete(w.slow, one[0])
	}
}

// failDisk has a disk fail what it is to write or save, now and then. When that
// is over the machine is started anew: a node does not trust such a disk again.
func (w *world) failDisk() func() {
	one := w.victims(1)
	if len(one) == 0 {
		return nil
	}
	m := one[0]
	w.logf("failing disk at %s", m.Host)
	w.seize(m)
	rng := rand.New(rand.NewPCG(w.rng.Uint64(), 0))
	m.Disk.SetFault(func(op filestore.Op, _ string) error {
		if op == filestore.OpRead || rng.IntN(4) != 0 {
			return nil
		}
		return syscall.EIO
	})
	return func() {
		w.logf("%s gets its disk back", m.Host)
		w.bury(m)
		w.ring.Crash(m)
		w.start(m)
		w.release(m)
	}
}

func (w *world) fillDisk() func() {
	one := w.victims(1)
	if len(one) == 0 {
		return nil
	}
	w.logf("full disk at %s", one[0].Host)
	disk := one[0].Disk
	disk.SetCapacity(1)
	return func() { disk.SetCapacity(math.MaxInt64) }
}

// rot flips a bit of a copy that its node has.
func (w *world) rot() func() {
	if w.lost >= w.plan.budget {
		return nil
	}
	for _, m := range w.victims(len(w.ring.Members)) {
		for _, name := range w.names {
			if m.Has(name) && m.Rot(name, int64(w.rng.IntN(8))) == nil {
				w.logf("%s rots at %s", name, m.Host)
				w.lost++
				return over
			}
		}
	}
	return nil
}

// loseDisk takes a machine for good.
func (w *world) loseDisk() func() {
	one := w.victims(1)
	if len(one) == 0 || w.lost >= w.plan.budget || one[0] == w.ring.Members[0] {
		return nil
	}
	w.logf("%s is lost", one[0].Host)
	w.lost++
	w.bury(one[0])
	w.ring.Lose(one...)
	w.gone[one[0]] = true
	return over
}

func (w *world) join() func() {
	if !w.ring.Members[0].Running() || w.cuts > 0 || w.busy[w.ring.Members[0]] || len(w.ring.Members) >= 2*w.plan.nodes {
		return nil
	}
	m := w.ring.Admit()
	w.logf("join %s", m.Host)
	w.start(m)
	return over
}

// logout has a member leave. What it cannot hand over in its time is a copy lost.
func (w *world) logout() func() {
	one := w.victims(1)
	if len(one) == 0 || one[0] == w.ring.Members[0] || w.lost >= w.plan.budget || len(w.ring.Up()) <= w.plan.n+1 {
		return nil
	}
	m := one[0]
	w.logf("logout %s", m.Host)
	w.seize(m)
	w.lost++
	report := make(chan node.LogoutReport, 1)
	go func() {
		r, err := m.Logout(w.t.Context(), 20*time.Second)
		if err != nil {
			w.t.Errorf("logout %s: %v", m.Host, err)
		}
		report <- r
	}()
	return func() {
		defer w.await(m)()
		r := <-report
		w.logf("%s has left, %d short", m.Host, len(r.Short))
		w.ring.Ended(m)
		w.bury(m)
		w.gone[m] = true
		if len(r.Short) == 0 {
			w.lost--
		}
	}
}

// victims are so many members, or fewer, that run and that no fault has seized.
func (w *world) victims(count int) []*ringtest.Member {
	all := slices.DeleteFunc(w.ring.Up(), func(m *ringtest.Member) bool { return w.busy[m] })
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(count, len(all))]
}

func (w *world) seize(m *ringtest.Member)   { w.busy[m] = true }
func (w *world) release(m *ringtest.Member) { delete(w.busy, m) }

// networkFault counts a fault that keeps newcomers from joining.
func (w *world) networkFault(end func()) func() {
	w.cuts++
	return func() {
		w.cuts--
		end()
	}
}
