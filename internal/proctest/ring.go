//go:build unix

package proctest

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Ring is a ring of daemons.
type Ring struct {
	Nodes []*Node // in the order in which they joined
}

// NewRing starts a ring of size nodes, called n0, n1 and so on, and ends it
// with the test.
func NewRing(t testing.TB, size int) *Ring {
	t.Helper()
	r := &Ring{}
	dir := t.TempDir()
	for i := range size {
		name := fmt.Sprintf("n%d", i)
		r.Nodes = append(r.Nodes, &Node{Name: name, Home: filepath.Join(dir, name)})
	}
	t.Cleanup(func() { r.end(t) })
	flags := []string{"--listen", "127.0.0.1:0", "--http", "off", "--name"}
	first := r.Nodes[0]
	first.Run(t, append([]string{"up"}, append(flags, first.Name)...)...).OK(t)
	if size == 1 {
		return r
	}
	token := string(first.Run(t, "invite", "--print", "token", "--uses", fmt.Sprint(size-1)).OK(t).Stdout)
	var joins []*Command
	for _, n := range r.Nodes[1:] {
		args := n.Args(append([]string{"join", "-"}, append(flags, n.Name)...)...)
		joins = append(joins, Start(t, strings.NewReader(token), nil, args...))
	}
	var results []Result
	for _, c := range joins {
		results = append(results, c.Wait(t))
	}
	for _, result := range results {
		result.OK(t)
	}
	r.WaitWhole(t, r.Nodes...)
	return r
}

// end kills what still runs and, after a failure, shows what the daemons said.
// The homes go with the test's temporary directory.
func (r *Ring) end(t testing.TB) {
	for _, n := range r.Nodes {
		if pid := n.running(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			waitEnded(t, pid)
		}
	}
	for _, n := range r.Nodes {
		log := n.logs()
		for _, bad := range []string{"panic:", "fatal error:", "WARNING: DATA RACE"} {
			if i := bytes.Index(log, []byte(bad)); i >= 0 {
				assert.Fail(t, "the log of "+n.Name+" has "+bad, "%s", log[i:min(len(log), i+8<<10)])
			}
		}
	}
	if !t.Failed() {
		return
	}
	for _, n := range r.Nodes {
		t.Logf("log of %s:\n%s", n.Name, shorten(n.logs()))
	}
}

// Place is one node's place on the ring, as that node reports it.
type Place struct {
	Name        string
	ID          string
	Predecessor struct{ Name string }
	Successors  []struct{ Name string }
}

// Order asks a node for the ring's positions, clockwise from the least ID. The
// error tells what is not as it is on an ordered ring of all the nodes given.
func (r *Ring) Order(t testing.TB, from *Node, nodes ...*Node) ([]Place, error) {
	t.Helper()
	var ring struct {
		Complete  bool
		Positions []Place
	}
	result := from.Run(t, "ring", "--json")
	if result.Code != 0 {
		return nil, errors.New(result.String())
	}
	result.JSON(t, &ring)
	p := ring.Positions
	if !ring.Complete || len(p) != len(nodes) {
		return nil, fmt.Errorf("%s sees %d positions of %d nodes, complete: %v", from.Name, len(p), len(nodes), ring.Complete)
	}
	slices.SortFunc(p, func(a, b Place) int { return strings.Compare(a.ID, b.ID) })
	for i, at := range p {
		next := p[(i+1)%len(p)]
		if len(p) > 1 && (next.Predecessor.Name != at.Name || len(at.Successors) == 0 || at.Successors[0].Name != next.Name) {
			return nil, fmt.Errorf("%s does not follow %s yet", next.Name, at.Name)
		}
	}
	return p, nil
}

// WaitWhole waits until the nodes given are ready and make an ordered ring, and
// returns them in its order.
func (r *Ring) WaitWhole(t testing.TB, nodes ...*Node) []*Node {
	t.Helper()
	for _, n := range nodes {
		n.WaitReady(t)
	}
	var order []*Node
	Eventually(t, time.Minute, func() error {
		places, err := r.Order(t, nodes[0], nodes...)
		order = nil
		for _, p := range places {
			order = append(order, r.Node(p.Name))
		}
		return err
	})
	return order
}

// Node returns the node with a name; nil when there is none.
func (r *Ring) Node(name string) *Node {
	for _, n := range r.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Except returns the ring's nodes without those given.
func (r *Ring) Except(nodes ...*Node) []*Node {
	return slices.DeleteFunc(slices.Clone(r.Nodes), func(n *Node) bool { return slices.Contains(nodes, n) })
}

// Parallel calls f for each node at once and waits for all. f may not end the test.
func Parallel(nodes []*Node, f func(*Node)) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() { f(n) })
	}
	wg.Wait()
}

// Eventually calls check until it returns no error; when it still does after
// limit the test ends with the last one.
func Eventually(t testing.TB, limit time.Duration, check func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.NoError(t, err, "still so after %v", limit)
		}
		<-tick.C
	}
}
