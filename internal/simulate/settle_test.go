package simulate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// lookedThrough is how many nodes are asked for every name in the end.
const lookedThrough = 9

// settle waits until the ring is whole and has every name given out.
func (w *world) settle() {
	w.logf("settle")
	w.ring.Ready(w.ring.Up()...)
	lack := ""
	end := time.Now().Add(w.plan.bound())
	for ; ; time.Sleep(time.Second) {
		if lack = w.lacks(); lack == "" {
			break
		}
		if time.Now().After(end) {
			w.t.Errorf("not whole %v after the last fault: %s", w.plan.bound(), lack)
			for _, m := range w.ring.Up() {
				w.logf("%s: %+v", m.Host, m.Fingers())
			}
			stacks := make([]byte, 8<<20)
			w.logf("%s", stacks[:runtime.Stack(stacks, true)])
			break
		}
	}
	w.logf("whole")
	up := w.ring.Up()
	w.rng.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	var live []string
	for _, name := range w.names {
		for i, m := range up[:min(lookedThrough, len(up))] {
			if o := w.lastGet(w.plan.clients+i, m, name, end); i == 0 && o.Value != 0 {
				live = append(live, name)
			}
		}
	}
	w.checkListing(up[0], live)
}

// lastGet has a member give out a name. A ring that is whole to one member may
// not be so to another yet, which has until end.
func (w *world) lastGet(client int, m *ringtest.Member, name string, end time.Time) *operation {
	for {
		o := w.history.Call(client, name, get)
		r, err := w.get(w.t.Context(), m.Node, o)
		w.history.End(o, r)
		if r != unknown {
			return o
		}
		if time.Now().After(end) {
			w.t.Errorf("%s at %s after the faults: %v", name, m.Host, err)
			return o
		}
		time.Sleep(time.Second)
	}
}

// checkListing compares the names that the ring lists with those that it gives out.
// Versions that lost a conflict are stored beside their names, and were stored once.
func (w *world) checkListing(by *ringtest.Member, live []string) {
	var listed []string
	copies := map[string]string{} // to the name that each lost
	_, err := by.List(w.t.Context(), node.ListOptions{Ring: true}, func(f node.File) error {
		if f.Record.Origin != nil {
			copies[f.Record.Name] = f.Record.Origin.Name
		} else {
			listed = append(listed, f.Record.Name)
		}
		return nil
	})
	slices.Sort(listed)
	slices.Sort(live)
	if err != nil || !slices.Equal(listed, live) {
		w.t.Errorf("%s lists %q of %q: %v", by.Host, listed, live, err)
	}
	for name, of := range copies {
		w.tally.count("(a conflict copy)")
		b, _, err := ringtest.Fetch(w.t.Context(), by, name, node.FetchOptions{})
		value, invalid := valueOf(w.plan.seed, b, w.plan.largest)
		if err != nil || invalid != nil || !w.history.Wrote(of, value) {
			w.t.Errorf("%s gives out %q: %v, %v, value %d", by.Host, name, err, invalid, value)
		}
	}
}

// lacks says what the ring lacks to be whole; nothing if it is.
func (w *world) lacks() string {
	up := w.ring.Up()
	by := up[w.rng.IntN(len(up))]
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if lack := disorder(ctx, by, len(up)*w.plan.vnodes); lack != "" {
		return lack
	}
	for _, name := range w.names {
		voters := map[node.MachineID]bool{}
		f, err := by.Stat(ctx, name)
		switch {
		case errors.Is(err, node.ErrNotFound):
		case err != nil:
			return err.Error()
		case !f.Confirmed:
			return name + " is not confirmed"
		default:
			durable := 0
			for _, h := range f.Holders {
				if m := w.ring.Member(h.Machine); h.Voter && m.Running() {
					voters[h.Machine] = true
					if h.State == node.Durable {
						durable++
					}
				}
			}
			if durable < min(w.plan.n, len(up)) {
				return fmt.Sprintf("%s has %d copies: %+v", name, durable, f.Holders)
			}
		}
		for _, m := range up {
			if m.Has(name) && !voters[m.Membership.Machine()] {
				return fmt.Sprintf("%s has a copy of %s to spare", m.Host, name)
			}
		}
	}
	return ""
}

// disorder says what a ring of so many positions lacks to be one ordered ring,
// as its positions report it to a member.
func disorder(ctx context.Context, by *ringtest.Member, positions int) string {
	ring, _ := by.RingPositions(ctx) // a machine that is lost is asked in vain
	if len(ring) != positions {
		return fmt.Sprintf("%s sees %d positions of %d", by.Host, len(ring), positions)
	}
	for i, p := range ring {
		if next := ring[(i+1)%len(ring)]; len(ring) > 1 && (len(p.Successors) == 0 || p.Successors[0].ID != next.Self.ID) {
			return fmt.Sprintf("%s is not followed by %s", p.Label, next.Label)
		}
	}
	return ""
}

// finish stops every member and looks for what they left behind. Goroutines
// would keep the bubble from ending.
func (w *world) finish() {
	for _, m := range w.ring.Up() {
		w.bury(m)
		w.ring.Stop(m)
		if left := m.Disk.Leftovers(); len(left) > 0 {
			w.t.Errorf("%s has left %v", m.Host, left)
		}
	}
	if open := w.ring.Net.Connections(); open != 0 {
		w.t.Errorf("%d ends of connections are left", open)
	}
}
