package register_test

import (
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
)

// checkCatchUp ends all faults, and checks that a few repairs bring every voter
// the newest record and end a move that was left half done.
func (w *world) checkCatchUp() {
	w.loss, w.content = 0, 1
	newest := func() *machine {
		return slices.MaxFunc(w.machines, func(a, b *machine) int { return a.disk.Accepted.Compare(b.disk.Accepted) })
	}
	for _, m := range w.machines {
		m.up = true
	}
	if newest().disk.Record == nil {
		return // never stored
	}
	for range 10 {
		newest().work(&job{})
		w.run()
		if w.caughtUp(newest().disk) {
			return
		}
	}
	w.fault("voters do not catch up with %v under %s", newest().disk.Accepted, list(newest().disk.Record.Voters))
}

// caughtUp reports whether a register's voters are one list and all have its record.
func (w *world) caughtUp(r filestore.Register) bool {
	return !r.Record.Voters.Joint() && !slices.ContainsFunc(r.Record.Voters.New, func(m filestore.MachineID) bool {
		return w.machine(m).disk.Accepted != r.Accepted
	})
}
