package register_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

const (
	registerName = "a name"
	machineCount = 7
	horizon      = 2500 // ticks in which faults and moves begin; a message takes about ten
)

// scenario is what a run is about.
type scenario int

const (
	moves    scenario = iota // the name is there, and its voters move
	creation                 // the name is not there yet, and the group is stable
	splits                   // the name is there, and its machines are split for long
	vacancy                  // the name is there, and all that know it are away for long
)

// world is one register over seven machines, and everything that befalls it.
// Whatever happens follows from the seed.
type world struct {
	schedule
	*rand.Rand
	rules    rules
	creation bool // the name is not there yet, and the group is stable
	machines []*machine
	first    []filestore.MachineID // the voters at the beginning
	ops      []*operation
	chosen   lineage
	forks    *forks    // nil: no split, and no disk is lost
	beside   []version // that were stored beside the name
	faults   []string
	trace    func(format string, args ...any) // nil: silent

	loss    float64 // of the messages between two machines
	content float64 // how often an Accept finds the content durable

	moves, oneRoundReads, creations, created int
}

func newWorld(seed uint64, r rules, s scenario) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), rules: r, creation: s == creation}
	w.loss = []float64{0, 0.03, 0.1, 0.2}[w.IntN(4)]
	w.content = []float64{1, 1, 0.95}[w.IntN(3)]
	w.first = ids(0, 1, 2)
	if (s == moves || s == creation) && w.IntN(5) == 0 { // a ring of few machines
		w.first = w.first[:1+w.IntN(2)]
	}
	for i := range machineCount {
		w.machines = append(w.machines, newMachine(w, i))
	}
	switch s {
	case moves:
		w.store()
		w.planMoves()
	case splits:
		w.store()
		w.forks = newForks(w)
	case vacancy:
		w.store()
		w.forks = newVacancy(w)
	}
	w.planCrashes()
	w.planRepairs()
	for c := range 2 + w.IntN(3) {
		(&client{w: w, number: c}).think()
	}
	return w
}

// store puts operation zero in place at the first voters.
func (w *world) store() {
	at := filestore.Ballot{Counter: 1, Machine: id(0)}
	op := &operation{kind: put, settled: true, known: true, result: filestore.ResultStored}
	w.ops = append(w.ops, op)
	rec, result := op.apply(nil)
	rec.Name, rec.Voters, rec.Changes = registerName, filestore.Voters{New: w.first}, 1
	rec.History = []filestore.Change{{Op: op.id(), Result: result}}
	for i, m := range w.machines {
		m.counter = at.Counter
		m.view.Basis = at
		if i < len(w.first) {
			m.disk = filestore.Register{Promised: at, Accepted: at, Record: &rec, Held: true}
			w.chosen.accepted(w, m.id, at, &rec)
		}
	}
}

// planMoves lets the ring change now and then. Each machine hears of it at
// another time, and some of those that hear move the voters.
func (w *world) planMoves() {
	count := 1 + w.IntN(5)
	if w.IntN(4) == 0 { // a storm
		count *= 4
		for _, m := range w.machines {
			m.counter += w.Uint64N(20)
		}
	}
	group := w.first
	for range count {
		w.after(w.Int64N(horizon*3/4), func() {
			for range 1 + w.IntN(2) {
				group = w.nextGroup(group)
			}
			target := group
			for _, m := range w.machines {
				w.after(w.Int64N(400), func() { m.ringChanged(target) })
			}
		})
	}
}

// nextGroup puts another machine in the place of one of the group, or lets the
// group grow or shrink by one as in a ring of few machines.
func (w *world) nextGroup(group []filestore.MachineID) []filestore.MachineID {
	var others []filestore.MachineID
	for _, m := range w.machines {
		if !slices.Contains(group, m.id) {
			others = append(others, m.id)
		}
	}
	next := slices.Clone(group)
	leaver, comer := w.IntN(len(next)), others[w.IntN(len(others))]
	switch n := w.IntN(10); {
	case n == 0 && len(next) > 1:
		next = slices.Delete(next, leaver, leaver+1)
	case len(next) < 3 && n <= 5, n == 1 && len(next) < 4:
		next = append(next, comer)
	default:
		next[leaver] = comer
	}
	slices.SortFunc(next, compareIDs)
	return next
}

func (w *world) planCrashes() {
	among, within := len(w.machines), int64(horizon)
	if w.creation {
		among, within = len(w.first), 500
	}
	for range w.IntN(8) {
		m, at := w.machines[w.IntN(among)], w.Int64N(within)
		w.after(at, m.crash)
		w.after(at+1+w.Int64N(300), func() { m.up = true })
	}
}

// planRepairs has machines propose the present value again now and then.
func (w *world) planRepairs() {
	for range w.IntN(4) {
		m := w.machines[w.IntN(len(w.machines))]
		w.after(w.Int64N(horizon), func() { m.work(&job{}) })
	}
}

func (w *world) chance(p float64) bool { return w.Float64() < p }

// delay is how long a message is under way.
func (w *world) delay() int64 {
	if w.chance(0.12) {
		return 10 + w.Int64N(250)
	}
	return 1 + w.Int64N(12)
}

// send has deliver run at a machine: once, twice, late or never. What was sent to a
// machine before it lost its disk does not reach it afterwards.
func (w *world) send(from, to *machine, deliver func()) {
	if from != to && w.chance(w.loss) || w.forks.between(from, to) {
		return
	}
	copies, lost := 1, to.lost
	if w.chance(0.06) {
		copies = 2
	}
	for range copies {
		w.after(w.delay(), func() {
			if to.up && to.lost == lost && !w.forks.between(from, to) {
				deliver()
			}
		})
	}
}

func (w *world) machine(m filestore.MachineID) *machine { return w.machines[m[0]-1] }

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		w.trace("%6d "+format, append([]any{w.now}, args...)...)
	}
}

// fault notes that something happened that must not.
func (w *world) fault(format string, args ...any) {
	w.logf("FAULT: "+format, args...)
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// simulate runs a seed to its end and returns what was wrong with it.
func simulate(seed uint64, r rules, s scenario, trace func(string, ...any)) *world {
	w := newWorld(seed, r, s)
	w.trace = trace
	if !w.run() {
		w.fault("the run does not end")
	}
	if w.forks == nil {
		w.checkHistory()
	} else {
		w.checkForks()
	}
	return w
}

// id is the machine of a number; ids keep the numbers' order.
func id(n int) filestore.MachineID { return filestore.MachineID{byte(n + 1)} }

func ids(ns ...int) []filestore.MachineID {
	l := make([]filestore.MachineID, len(ns))
	for i, n := range ns {
		l[i] = id(n)
	}
	return l
}

func compareIDs(a, b filestore.MachineID) int { return int(a[0]) - int(b[0]) }

// list prints the numbers of a voter list's machines.
func list(v filestore.Voters) string {
	s := ""
	for _, m := range v.Old {
		s += fmt.Sprint(m[0] - 1)
	}
	if v.Joint() {
		s += "+"
	}
	for _, m := range v.New {
		s += fmt.Sprint(m[0] - 1)
	}
	return s
}

// joint is the list of a register under way from one group to another.
func joint(from, to []filestore.MachineID) filestore.Voters {
	return filestore.Voters{Old: from, New: to}
}

// viewOf is the view that a record accepted under a ballot stands for.
func viewOf(rec *filestore.Record, at filestore.Ballot) register.View {
	return register.ViewOf(rec, at)
}
