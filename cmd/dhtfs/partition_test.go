//go:build linux

package main

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
	"github.com/dhtfs/dhtfs/node/api"
)

// pluggedRing is a ring whose nodes have a network of their own.
func pluggedRing(t *testing.T, size int) (*proctest.Ring, *proctest.Network) {
	t.Helper()
	network := proctest.NewNetwork(t)
	return proctest.NewRing(t, size, func(i int, n *proctest.Node) { network.Plug(t, i, n) }), network
}

// TestPartition splits seven nodes in two, has both sides write what they can,
// and joins them again: there is one ring soon, and what either side was told is
// stored is there, under its name or as a conflict copy. The long form is split
// for a minute, long enough for either side to take over.
func TestPartition(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	lasting := 8 * time.Second
	if proctest.Long() {
		lasting = time.Minute
	}
	ring, network := pluggedRing(t, 7)
	const files = 20
	want := map[string]string{} // the last version acknowledged before the split
	for i := range files {
		name := fmt.Sprintf("split/%02d", i)
		want[name] = "before " + name
		put(t, ring.Nodes[i%7], name, want[name])
	}
	sides := [][]*proctest.Node{ring.Nodes[:3], ring.Nodes[3:]}
	network.Cut(t, sides[0], sides[1])
	network.Cut(t, sides[1], sides[0])
	split := time.Now()

	acknowledged := make([]map[string]string, 2)
	for side := range sides {
		acknowledged[side] = map[string]string{}
	}
	attempted := map[string][]string{}
	var mu sync.Mutex
	var writers sync.WaitGroup
	for side, nodes := range sides {
		names := slices.Sorted(maps.Keys(want))
		for k, at := range nodes {
			writers.Go(func() {
				for i := k; time.Since(split) < lasting; i += len(nodes) {
					name := names[i%files]
					text := fmt.Sprintf("%s of side %d, store %d", name, side, i)
					result := proctest.Start(t, strings.NewReader(text), nil,
						at.Args("store", "-", "--as", name, "--force", "--retry", "1ms")...).Wait(t)
					mu.Lock()
					attempted[name] = append(attempted[name], text)
					if result.Code == 0 {
						acknowledged[side][name] = text
					} else {
						delete(acknowledged[side], name) // what failed may come out after all, and replace it
						assert.Contains(t, []int{1, 9, 11}, result.Code, "%s", result)
					}
					mu.Unlock()
				}
			})
		}
	}
	writers.Wait()
	t.Logf("after %v: %d names were last stored on one side, %d on the other", time.Since(split), len(acknowledged[0]), len(acknowledged[1]))
	network.HealAll(t)
	healed := time.Now()
	ring.WaitWhole(t, ring.Nodes...)
	took := time.Since(healed)
	t.Logf("one ring %v after the split was healed", took)
	assert.Less(t, took, 30*time.Second)

	kept := 0
	proctest.Eventually(t, 3*time.Minute, func() error {
		kept = 0
		for side := range sides {
			for name, text := range acknowledged[side] {
				if err := find(t, ring.Nodes[kept%7], name, text); err != nil {
					return err
				}
				kept++
			}
		}
		return nil
	})
	t.Logf("%d last versions are there", kept)
	for name := range want { // names that neither side could change have what they had, or an attempt that came out
		got := string(ring.Nodes[2].Run(t, "cat", name).OK(t).Stdout)
		assert.Contains(t, append(attempted[name], want[name]), got, name)
	}
}

// find looks for a text under its name and under those of its conflict copies.
func find(t *testing.T, at *proctest.Node, name, text string) error {
	t.Helper()
	_, names := listRing(t, at)
	for _, candidate := range names {
		if candidate != name && !strings.HasPrefix(candidate, name+" (conflict ") {
			continue
		}
		if result := at.Run(t, "cat", candidate); result.Code == 0 && string(result.Stdout) == text {
			return nil
		}
	}
	return fmt.Errorf("%q is not there, neither under %q nor as a conflict copy", text, name)
}

// TestOneWayLoss drops what one node sends to another, but not what it is sent.
// Those two cannot talk; everybody serves everything all the same, these two
// included, for each of whom the other owns names, and others own names that both
// would keep.
func TestOneWayLoss(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	ring, network := pluggedRing(t, 5)
	want := storeSome(t, ring.Nodes[0], 12)
	order := ring.WaitWhole(t, ring.Nodes...)
	places, err := ring.Order(t, ring.Nodes[0], ring.Nodes...)
	require.NoError(t, err)
	fresh := map[*proctest.Node][]string{} // names that each owns and nobody has stored
	for _, n := range ring.Nodes {
		fresh[n] = namesOf(places, n, 4)
	}
	owned := map[*proctest.Node][]string{}
	for i := 0; len(owned[order[1]]) < 2 || len(owned[order[2]]) < 2; i++ {
		name := fmt.Sprint("before ", i)
		put(t, ring.Nodes[0], name, "before")
		owner := ring.Node(ownerOf(t, ring.Nodes[0], name))
		owned[owner] = append(owned[owner], name)
	}
	network.Cut(t, order[1:2], order[2:3])
	for round := range 2 { // before it is noticed, and after
		began := time.Now()
		for i, n := range ring.Nodes {
			want.check(t, n)
			name := fmt.Sprint("meanwhile ", i)
			put(t, n, name, "stored")
			assert.Equal(t, "stored", string(order[3].Run(t, "cat", name).OK(t).Stdout), n.Name)
		}
		for _, pair := range [][2]*proctest.Node{{order[1], order[2]}, {order[2], order[1]}} {
			at, name := pair[0], owned[pair[1]][round]
			assert.Equal(t, "before", string(at.Run(t, "cat", name).OK(t).Stdout), at.Name)
			put(t, at, name, "changed")
			assert.Equal(t, "changed", string(at.Run(t, "cat", name).OK(t).Stdout), at.Name)
			at.Run(t, "rm", "--yes", "--", name).OK(t)
			assert.Equal(t, 4, at.Run(t, "exists", "--", name).Code, at.Name)
		}
		for k, at := range order[1:3] {
			for _, owner := range order {
				name := fresh[owner][2*round+k]
				assert.Equal(t, 4, at.Run(t, "exists", "--", name).Code, "%s, owned by %s", at.Name, owner.Name)
				put(t, at, name, "fresh")
				assert.Equal(t, "fresh", string(at.Run(t, "cat", name).OK(t).Stdout), "%s, owned by %s", at.Name, owner.Name)
			}
		}
		t.Logf("round %d took %v", round, time.Since(began))
	}
	network.HealAll(t)
	ring.WaitWhole(t, ring.Nodes...)
	for _, n := range ring.Nodes {
		want.check(t, n)
		for _, away := range order[1:3] {
			assert.Equal(t, 4, n.Run(t, "exists", "--", owned[away][0]).Code, n.Name)
		}
	}
}

// namesOf are so many names that a node owns on a ring in that order.
func namesOf(places []proctest.Place, n *proctest.Node, count int) (names []string) {
	for i := 0; len(names) < count; i++ {
		name := fmt.Sprintf("fresh %d", i)
		key := fmt.Sprintf("%x", sha1.Sum([]byte(name)))
		owner := places[0]
		if k := slices.IndexFunc(places, func(p proctest.Place) bool { return p.ID >= key }); k >= 0 {
			owner = places[k]
		}
		if owner.Name == n.Name {
			names = append(names, name)
		}
	}
	return names
}

// ownerOf is the name of the node that owns a file's name.
func ownerOf(t *testing.T, at *proctest.Node, name string) string {
	t.Helper()
	var doc api.Locate
	at.Run(t, "locate", "--json", "--", name).OK(t).JSON(t, &doc)
	return doc.Owner.Name
}
