//go:build unix

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestManyJoinAtOnce has six machines join one ring at the same time.
func TestManyJoinAtOnce(t *testing.T) {
	plainOnly(t)
	ring := proctest.NewRingAtOnce(t, 7)
	storeSome(t, ring.Nodes[6], 10).check(t, ring.Nodes[1])
}

// TestRestart stops all daemons and starts them again in parallel: once as
// their users do, once after all were killed.
func TestRestart(t *testing.T) {
	t.Parallel()
	ring := proctest.NewRing(t, 5)
	want := storeSome(t, ring.Nodes[0], 40)
	for _, stop := range []struct {
		how string
		all func(t *testing.T)
	}{
		{"down", func(t *testing.T) {
			for _, n := range ring.Nodes {
				n.Run(t, "down").OK(t)
				assert.NoFileExists(t, n.Home+"/daemon.json")
			}
		}},
		{"killed", func(t *testing.T) { proctest.Kill(t, ring.Nodes...) }},
	} {
		t.Run(stop.how, func(t *testing.T) {
			stop.all(t)
			ring.UpAll(t)
			ring.WaitWhole(t, ring.Nodes...)
			for _, n := range ring.Nodes {
				complete, names := listRing(t, n)
				assert.True(t, complete, n.Name)
				assert.Equal(t, want.names(), names, n.Name)
				assert.Empty(t, n.Temporaries(t), n.Name)
				want.check(t, n)
			}
			for name := range want {
				file := ring.Nodes[1].Stat(t, name)
				assert.True(t, file.Confirmed, "%+v", file)
				assert.Equal(t, 3, file.Copies, "%+v", file)
			}
		})
	}
}

// listRing lists every name on the ring.
func listRing(t testing.TB, n *proctest.Node) (complete bool, names []string) {
	t.Helper()
	result := n.Run(t, "ls", "--ring", "--json")
	require.Contains(t, []int{0, 3}, result.Code, "%s", result)
	var doc struct {
		Complete bool
		Files    []struct{ Name string }
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(string(result.Stdout))).Decode(&doc), "%s", result)
	for _, f := range doc.Files {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return doc.Complete, names
}
