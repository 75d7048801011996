package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// Healing: content that was found damaged or gone here is fetched from another
// holder at once, and kept under the register as it is. No vote is needed: the
// record was accepted, and says by its hashes what the content is.

// How healing goes about it.
const (
	maxWounds    = 4096                   // damaged names remembered; those beyond are left to repair
	healStart    = 100 * time.Millisecond // before the first try: whoever looks for damage heals it itself
	healFirst    = 5 * time.Second        // before the second try, doubled each time up to
	healLongest  = 10 * time.Minute       // for content that nobody could give
	healAtOnce   = 2                      // names worked on together
	healBatch    = 64                     // names looked at in one go
	healDormancy = time.Hour              // when there is nothing to do
)

// healer remembers what was found damaged until it is held again.
type healer struct {
	wake chan struct{}

	mu     sync.Mutex
	wounds map[string]wound
	found  int // since the node was started
	healed int
}

// wound is one damaged name.
type wound struct {
	tries int
	next  time.Time
}

func newHealer() healer {
	return healer{wake: make(chan struct{}, 1), wounds: map[string]wound{}}
}

// damaged notes that a name's content was lost here. It is the store's OnDamage.
func (h *healer) damaged(name string) {
	h.mu.Lock()
	h.found++
	if len(h.wounds) < maxWounds {
		h.wounds[name] = wound{next: time.Now().Add(healStart)}
	}
	h.mu.Unlock()
	signal(h.wake)
}

// knows reports whether a name's content was found damaged and is not back yet.
func (h *healer) knows(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.wounds[name]
	return ok
}

// closed notes that there is nothing to be healed about a name any more: the
// content is held, or it is not needed here.
func (h *healer) closed(name string, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.wounds[name]; ok && held {
		h.healed++
	}
	delete(h.wounds, name)
}

// failed puts the next try off.
func (h *healer) failed(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, ok := h.wounds[name]
	if !ok {
		return
	}
	w.next = time.Now().Add(min(healFirst<<min(w.tries, 16), healLongest))
	w.tries++
	h.wounds[name] = w
}

// due are names whose turn it is, and how long until that of the next.
func (h *healer) due(now time.Time) (names []string, wait time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait = healDormancy
	for name, w := range h.wounds {
		switch left := w.next.Sub(now); {
		case left > 0:
			wait = min(wait, left)
		case len(names) < healBatch:
			names = append(names, name)
		default:
			return names, 0
		}
	}
	return names, wait
}

// counts are the damaged contents found and healed since the node was started,
// and those not healed yet.
func (h *healer) counts() (found, healed, open int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.found, h.healed, len(h.wounds)
}

// runHeal heals what is found damaged.
func (n *Node) runHeal(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.healer.wake:
		case <-timer.C:
		}
		names, wait := n.healer.due(time.Now())
		for part := range slices.Chunk(names, healAtOnce) {
			var wg sync.WaitGroup
			for _, name := range part {
				wg.Go(func() {
					if _, err := n.heal(ctx, name); err != nil && ctx.Err() == nil {
						n.log.Info("could not heal a damaged file yet", "name", name, "err", err)
					}
				})
			}
			wg.Wait()
		}
		if len(names) > 0 {
			_, wait = n.healer.due(time.Now())
		}
		timer.Reset(wait)
	}
}

// heal gets a name's content anew, where this node is to have it and does not,
// and returns whom from: nobody where nothing was to be done.
func (n *Node) heal(ctx context.Context, name string) (from []string, err error) {
	r, err := n.store.Register(name)
	if err == nil {
		err = n.store.Degraded()
	}
	if err != nil {
		n.healer.failed(name)
		return nil, err
	}
	if r.Held || r.Record == nil || r.Record.Deleted || !r.Record.Voters.Contains(n.self()) {
		n.healer.closed(name, r.Held)
		return nil, nil
	}
	rec := *r.Record
	limit := obtainTimeout + time.Duration(rec.Size/obtainRate)*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	from, err = n.obtainFrom(ctx, obtainRequest{Record: rec, Sources: n.sourcesOf(ctx, &rec)})
	if err != nil {
		n.healer.failed(name)
		return nil, err
	}
	after, err := n.store.Update(name, func(r filestore.Register) (filestore.Register, error) { return r, nil })
	n.staged.settle(name, rec.SHA256)
	if err != nil {
		n.healer.failed(name)
		return nil, err
	}
	n.healer.closed(name, after.Held)
	if len(from) > 0 {
		n.log.Info("healed a damaged file", "name", name, "from", from)
	}
	return from, nil
}

// sourcesOf are the others that may have a record's content, the best first:
// its voters, and who belongs to its key's group now.
func (n *Node) sourcesOf(ctx context.Context, rec *filestore.Record) []MachineID {
	var group []MachineID
	if p, err := n.place(ctx, chord.KeyOf(rec.Name)); err == nil {
		group = machinesOf(p.group())
	}
	return slices.DeleteFunc(n.rank(rec, group), func(m MachineID) bool { return m == n.self() })
}

// warnOfDamage is what people should know of damage found here; nothing when
// there is none.
func (n *Node) warnOfDamage() []string {
	if _, _, open := n.healer.counts(); open > 0 {
		return []string{fmt.Sprintf("%d damaged files wait for a good copy from another node", open)}
	}
	return nil
}
