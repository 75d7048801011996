package node

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// job is one name to be put right.
type job struct {
	name   string
	copies int // that are known to be there: the fewer, the sooner
	run    func(ctx context.Context) error
}

// crew carries out jobs, repairAtOnce at a time and one at a time for a name.
// A round of repair does not wait for ever for them: a large file may be copied
// while other rounds come and go.
type crew struct {
	slots chan struct{}
	wg    sync.WaitGroup

	mu   sync.Mutex
	busy map[string]bool
}

func newCrew() *crew { return &crew{slots: make(chan struct{}, repairAtOnce), busy: map[string]bool{}} }

// begin runs a job as soon as there is room, unless its name is being worked on
// already, and then calls ended. False: stop came first.
func (c *crew) begin(ctx context.Context, j job, ended func(error), stop <-chan struct{}) bool {
	c.mu.Lock()
	busy := c.busy[j.name]
	c.mu.Unlock()
	if busy {
		ended(nil)
		return true
	}
	select {
	case c.slots <- struct{}{}:
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	}
	c.mu.Lock()
	c.busy[j.name] = true
	c.mu.Unlock()
	c.wg.Go(func() {
		err := j.run(ctx)
		c.mu.Lock()
		delete(c.busy, j.name)
		c.mu.Unlock()
		<-c.slots
		ended(err)
	})
	return true
}

// roundPatience is how long a round waits for the last of its jobs.
const roundPatience = 30 * time.Second

// carryOut does a round's jobs, those of names with the fewest copies first. It
// returns early when the ring changes, since then others may be due: what has
// begun goes on, the rest is left to the next round.
func (n *Node) carryOut(ctx context.Context, jobs []job, r *roundResult) {
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(a.copies, b.copies) })
	ended := make(chan error, len(jobs))
	stop, begun := make(chan struct{}), make(chan int, 1)
	handing := sync.WaitGroup{}
	handing.Go(func() {
		count := 0
		for _, j := range jobs {
			if !n.repair.crew.begin(ctx, j, func(err error) { ended <- err }, stop) {
				break
			}
			count++
		}
		begun <- count
	})
	defer handing.Wait()
	defer close(stop)
	open := -1 // jobs to wait for, once all have begun
	done := 0
	var patience <-chan time.Time
	for open < 0 || done < open {
		select {
		case open = <-begun:
			begun = nil
			patience = time.After(roundPatience)
		case err := <-ended:
			done++
			r.failed = r.failed || err != nil
		case <-n.ring.Changed():
			r.interrupted = true
			return
		case <-n.wake.joined:
			n.repair.joined = time.Now()
			r.interrupted = true
			return
		case <-patience:
			r.failed = true
			return
		case <-ctx.Done():
			return
		}
	}
}
