//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// noDaemon is the exit code of a command whose machine was killed before it
// began: nothing was asked of the ring.
const noDaemon = 10

// load is clients that go on storing and fetching while something else happens
// to the ring. Each has names of its own, so that it knows what to expect.
type load struct {
	t      testing.TB
	ring   *proctest.Ring
	dir    string // of files that are stored
	names  []string
	stop   chan struct{}
	ended  sync.WaitGroup
	mu     sync.Mutex
	away   map[*proctest.Node]bool // nobody begins anything there
	maybe  map[string][]string     // the texts that a name may have
	counts struct{ stores, failedStores, fetches, failedFetches, notBegun int }
	took   []time.Duration
}

// startLoad stores some names and has clients work on them until stopped.
func startLoad(t testing.TB, ring *proctest.Ring, clients, files int) *load {
	t.Helper()
	l := &load{t: t, ring: ring, dir: t.TempDir(), stop: make(chan struct{}), away: map[*proctest.Node]bool{}, maybe: map[string][]string{}}
	for i := range files {
		l.names = append(l.names, fmt.Sprintf("load/%04d", i))
	}
	var creating sync.WaitGroup
	for c := range clients {
		creating.Go(func() {
			for i := c; i < files; i += clients {
				l.store(ring.Nodes[i%len(ring.Nodes)], l.names[i], fmt.Sprintf("%s, first", l.names[i]))
			}
		})
	}
	creating.Wait()
	require.Len(t, l.maybe, files)
	for c := range clients {
		rng := rand.New(rand.NewPCG(1, uint64(c)))
		l.ended.Go(func() { l.client(rng, c, clients) })
	}
	return l
}

func (l *load) client(rng *rand.Rand, first, step int) {
	for version := 0; !l.isOver(); version++ {
		mine := len(l.names) / step
		name := l.names[first+step*rng.IntN(mine)]
		at := l.pick(rng)
		if rng.IntN(2) == 0 {
			l.store(at, name, fmt.Sprintf("%s, version %d of client %d, %0*d", name, version, first, rng.IntN(2000), 0))
		} else {
			l.fetch(at, name)
		}
	}
}

func (l *load) isOver() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *load) pick(rng *rand.Rand) *proctest.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	up := slices.DeleteFunc(slices.Clone(l.ring.Nodes), func(n *proctest.Node) bool { return l.away[n] })
	return up[rng.IntN(len(up))]
}

// setAway has clients begin nothing at a node, as users of another machine, or
// begin again.
func (l *load) setAway(n *proctest.Node, away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away[n] = away
}

// store stores a new text. One that failed may have been stored all the same.
func (l *load) store(at *proctest.Node, name, text string) {
	path := filepath.Join(l.dir, strings.ReplaceAll(name, "/", "-")) // a file, since standard input cannot be sent twice
	if !assert.NoError(l.t, os.WriteFile(path, []byte(text), 0o600)) {
		return
	}
	result := at.Run(l.t, "store", path, "--as", name, "--force")
	l.mu.Lock()
	defer l.mu.Unlock()
	if result.Code == noDaemon {
		l.counts.notBegun++
		return
	}
	l.took = append(l.took, result.Took)
	l.counts.stores++
	if result.Code == 0 {
		l.maybe[name] = []string{text}
		return
	}
	l.counts.failedStores++
	l.maybe[name] = append(l.maybe[name], text)
	l.t.Logf("a store failed: %s", result)
}

func (l *load) fetch(at *proctest.Node, name string) {
	result := at.Run(l.t, "cat", name)
	l.mu.Lock()
	defer l.mu.Unlock()
	if result.Code == noDaemon {
		l.counts.notBegun++
		return
	}
	l.took = append(l.took, result.Took)
	l.counts.fetches++
	if result.Code != 0 {
		l.counts.failedFetches++
		l.t.Logf("a fetch failed: %s", result)
		return
	}
	assert.Contains(l.t, l.maybe[name], string(result.Stdout), "%s at %s", name, at.Name)
}

// end stops the clients and says how they fared.
func (l *load) end() {
	close(l.stop)
	l.ended.Wait()
	slices.Sort(l.took)
	at := func(share float64) time.Duration {
		return l.took[int(share*float64(len(l.took)-1))].Round(time.Millisecond)
	}
	l.t.Logf("%d stores, %d failed; %d fetches, %d failed; half took less than %v, 99 %% less than %v, the longest %v; %d not begun, as there was no daemon",
		l.counts.stores, l.counts.failedStores, l.counts.fetches, l.counts.failedFetches, at(0.5), at(0.99), at(1), l.counts.notBegun)
}

// checkAll fetches every name through one node or another, confirmed or not, and looks that
// nothing temporary is left.
func (l *load) checkAll() {
	for i, name := range l.names {
		at := l.ring.Nodes[i%len(l.ring.Nodes)]
		result := at.Run(l.t, "cat", name)
		assert.Zero(l.t, result.Code, "%s is lost: %s", name, result)
		assert.Contains(l.t, l.maybe[name], string(result.Stdout), "%s at %s", name, at.Name)
	}
	for _, n := range l.ring.Nodes {
		proctest.Eventually(l.t, 2*time.Minute, func() error {
			if left := n.Temporaries(l.t); len(left) > 0 {
				return fmt.Errorf("%s has %v", n.Name, left)
			}
			return nil
		})
	}
}
