//go:build unix

package proctest

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
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

// NewRing starts a ring of size nodes, called n0, n1 and so on, that join one
// after the other, and ends it with the test. Each node may be prepared before
// its daemon starts.
func NewRing(t testing.TB, size int, prepare ...func(i int, n *Node)) *Ring {
	t.Helper()
	r := newRing(t, size)
	for i, n := range r.Nodes {
		for _, f := range prepare {
			f(i, n)
		}
	}
	token := r.found(t)
	for _, n := range r.Nodes[1:] {
		n.startJoin(t, token).Wait(t).OK(t)
	}
	r.WaitWhole(t, r.Nodes...)
	return r
}

// NewRingAtOnce is NewRing, but all nodes but the first join at the same time.
func NewRingAtOnce(t testing.TB, size int) *Ring {
	t.Helper()
	r := newRing(t, size)
	token := r.found(t)
	var joins []*Command
	for _, n := range r.Nodes[1:] {
		joins = append(joins, n.startJoin(t, token))
	}
	waitAll(t, joins)
	r.WaitWhole(t, r.Nodes...)
	return r
}

func newRing(t testing.TB, size int) *Ring {
	r := &Ring{}
	dir := t.TempDir()
	for i := range size {
		name := fmt.Sprintf("n%d", i)
		r.Nodes = append(r.Nodes, &Node{Name: name, Home: filepath.Join(dir, name)})
	}
	t.Cleanup(func() { r.end(t) })
	return r
}

// found starts the ring's first node and returns an invitation for the others.
func (r *Ring) found(t testing.TB) (token string) {
	t.Helper()
	first := r.Nodes[0]
	first.startDaemon(t, nil, append([]string{"up"}, first.flags()...)...).Wait(t).OK(t)
	return string(first.Run(t, "invite", "--print", "token", "--uses", fmt.Sprint(len(r.Nodes))).OK(t).Stdout)
}

// Join adds a node, by an invitation of the first one, and waits until it is ready.
func (r *Ring) Join(t testing.TB) *Node {
	t.Helper()
	token := string(r.Nodes[0].Run(t, "invite", "--print", "token").OK(t).Stdout)
	name := fmt.Sprintf("n%d", len(r.Nodes))
	n := &Node{Name: name, Home: filepath.Join(filepath.Dir(r.Nodes[0].Home), name)}
	r.Nodes = append(r.Nodes, n)
	n.startJoin(t, token).Wait(t).OK(t)
	n.WaitReady(t)
	return n
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
	var ring struct{ Positions []Place }
	result := from.Run(t, "ring", "--json")
	if result.Code != 0 && result.Code != 3 { // 3: dead members do not answer
		return nil, errors.New(result.String())
	}
	result.JSON(t, &ring)
	p := ring.Positions
	if len(p) != len(nodes) {
		return nil, fmt.Errorf("%s sees %d positions of %d nodes", from.Name, len(p), len(nodes))
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

// UpAll starts all daemons at the same time.
func (r *Ring) UpAll(t testing.TB) {
	t.Helper()
	var ups []*Command
	for _, n := range r.Nodes {
		ups = append(ups, n.startDaemon(t, nil, "up"))
	}
	waitAll(t, ups)
}

// waitAll waits for commands that all must succeed, for the last one even when
// the first has failed.
func waitAll(t testing.TB, commands []*Command) {
	t.Helper()
	var results []Result
	for _, c := range commands {
		results = append(results, c.Wait(t))
	}
	for _, result := range results {
		result.OK(t)
	}
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
