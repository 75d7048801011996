package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// What is counted besides faults, and has to happen as they have.
const (
	skewedClock     = "a start with a clock an hour off"
	impatientClient = "an impatient client"
	repeatedRequest = "a repeated request"
)

// tally counts what happened in runs. It may be used concurrently.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func newTally() *tally { return &tally{counts: map[string]int{}} }

func (c *tally) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

func (c *tally) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

// String lists what was counted, a line each.
func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(&b, "%8d  %s\n", c.counts[what], what)
	}
	return b.String()
}
