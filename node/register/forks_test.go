package register_test

import (
	"bytes"
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Forks are runs in which the machines are split in two, or half of them dies,
// for longer than it takes the others to take over. Afterwards everything is
// healed. No version that was acknowledged may be lost: it is under the name,
// was followed by another one there, or is stored beside the name.
const (
	takeOverAfter = 500  // ticks
	splitFor      = 1400 // ticks
	forkRounds    = 40   // of repair, after which all must agree
)

// forks is what is special to such runs.
type forks struct {
	w       *world
	split   bool
	side    []bool    // of each machine
	seen    []version // that were ever accepted
	vacancy bool
	created int // times that the name was, where nobody knew it
}

// version is a record with what led to it.
type version struct {
	op      filestore.OpID
	log     []byte // operations in their order
	deleted bool
}

func versionOf(rec *filestore.Record) version {
	return version{rec.Op, slices.Clone(rec.Signature), rec.Deleted}
}

// between reports whether two machines are split from each other.
func (f *forks) between(a, b *machine) bool {
	return f != nil && f.split && f.side[a.id[0]-1] != f.side[b.id[0]-1]
}

// newForks plans one split or one long death of many.
func newForks(w *world) *forks {
	f := &forks{w: w, side: make([]bool, len(w.machines))}
	for i := range f.side {
		f.side[i] = w.IntN(2) == 0
	}
	begin := w.Int64N(600)
	w.after(begin, func() {
		w.logf("split %v", f.side)
		f.split = true
		if w.IntN(3) == 0 { // half of them die
			for i, m := range w.machines {
				if f.side[i] {
					m.crash()
				}
			}
		}
	})
	for range 2 + w.IntN(5) {
		w.after(begin+takeOverAfter+w.Int64N(splitFor-takeOverAfter), f.takeOver)
	}
	w.after(begin+splitFor, func() {
		w.logf("heal")
		f.split = false
		for _, m := range w.machines {
			m.up = true
		}
	})
	if w.IntN(3) == 0 { // within the budget: one disk of three
		m := w.machines[w.IntN(3)]
		w.after(begin+splitFor+1000, func() { m.lose() })
	}
	return f
}

// lose is a crash in which the disk is lost, too.
func (m *machine) lose() {
	m.crash()
	m.lost++
	m.w.logf("%d loses its disk", m.id[0]-1)
	m.disk, m.knowledge, m.up = filestore.Register{}, register.Ignorant, true
	for _, o := range m.w.machines { // clocks are nearer to each other than what is added to this machine's
		m.floor = max(m.floor, o.counter)
	}
}

// takeOver has a machine that holds a record move it to a group of its side.
func (f *forks) takeOver() {
	m := f.w.machines[f.w.IntN(len(f.w.machines))]
	var live []filestore.MachineID
	for _, o := range f.w.machines {
		if o.up && !f.between(m, o) {
			live = append(live, o.id)
		}
	}
	for len(live) > 3 {
		i := 3
		if f.w.IntN(4) == 0 { // rings are seen differently
			i = f.w.IntN(len(live))
		}
		live = slices.Delete(live, i, i+1)
	}
	if len(live) >= 2 {
		f.w.logf("%d takes over with %v", m.id[0]-1, list(filestore.Voters{New: live}))
		m.work(&job{target: live, force: true})
	}
}

// keepBeside stores the versions that are in a round's way beside the name, and
// tries again. That may fail, too.
func (j *job) keepBeside(r *register.Round) {
	j.met = r.Met()
	for _, m := range r.Clashes() {
		if j.w.rules.late {
			j.kept = append(j.kept, m.Record.Op)
			from := j.w.machine(m.From)
			j.w.after(100+j.w.delay(), func() {
				if from.up && from.disk.Record != nil && from.disk.Record.Op == m.Record.Op {
					j.w.beside = append(j.w.beside, versionOf(m.Record))
				}
			})
		} else if j.w.chance(0.8) {
			j.w.logf("%d stores value %d beside the name", j.at.id[0]-1, value(m.Record))
			j.kept = append(j.kept, m.Record.Op)
			j.w.beside = append(j.w.beside, versionOf(m.Record))
		}
	}
	j.pause()
}

// checkForks ends all faults, repairs until all agree, and checks that nothing
// acknowledged is lost.
func (w *world) checkForks() {
	if w.forks.vacancy {
		w.checkNotMissed()
	}
	w.loss, w.content = 0, 1
	group := ids(0, 1, 2)
	for round := range forkRounds {
		if round%10 == 9 { // a voter of two that lost its disk leaves no majority
			slices.MaxFunc(w.machines, func(a, b *machine) int { return a.disk.Accepted.Compare(b.disk.Accepted) }).
				work(&job{target: group, force: true})
			w.run()
		}
		for _, m := range w.machines {
			if m.disk.Record == nil {
				continue
			}
			m.view = viewOf(m.disk.Record, m.disk.Accepted)
			m.work(&job{target: group})
			w.run()
			m.work(&job{})
			w.run()
		}
		if w.agreed(group) {
			w.checkKept(w.machine(group[0]).disk)
			return
		}
	}
	w.fault("the machines do not come to agree")
}

// agreed reports whether a group votes and has one record that takes account of
// what all others have.
func (w *world) agreed(group []filestore.MachineID) bool {
	final := w.machine(group[0]).disk
	if final.Record == nil || !final.Record.Voters.Equal(filestore.Voters{New: group}) {
		return false
	}
	return !slices.ContainsFunc(w.machines, func(m *machine) bool {
		if slices.Contains(group, m.id) {
			return m.disk.Accepted != final.Accepted
		}
		return m.disk.Record != nil && !register.Supersedes(final.Record, m.disk.Record, m.disk.Accepted)
	})
}

// checkKept checks that each store that was acknowledged is where it should be:
// in what led to a version that is left, to one that was deleted, or to one that
// was stored over by an operation that is.
func (w *world) checkKept(final filestore.Register) {
	kept := map[byte]bool{}
	note := func(v version) {
		for _, op := range v.log {
			kept[op] = true
		}
	}
	note(versionOf(final.Record))
	for _, v := range w.beside {
		note(v)
	}
	for before := -1; before < len(kept); {
		before = len(kept)
		for _, v := range w.forks.seen {
			if v.deleted || kept[v.op[1]] {
				note(v)
			}
		}
	}
	for _, o := range w.ops {
		if o.known && o.result == filestore.ResultStored && o.kind != get && !kept[byte(o.number)] {
			w.fault("%v was acknowledged and is lost", o)
		}
	}
}

// accepted notes a record, and checks that no operation is in it twice.
func (f *forks) accepted(rec *filestore.Record) {
	if f == nil {
		return
	}
	f.seen = append(f.seen, versionOf(rec))
	for i, op := range rec.Signature {
		if bytes.IndexByte(rec.Signature[i+1:], op) >= 0 {
			f.w.fault("operation %d was applied twice: %v", op, rec.Signature)
		}
	}
}
