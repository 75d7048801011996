//go:build unix

package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestLogoutOfAllButTwo has one node after another leave a ring of seven, or
// of four for the race detector, those
// that publish and invite included.
func TestLogoutOfAllButTwo(t *testing.T) {
	t.Parallel()
	size := 7
	if raceDetector {
		size = 4
	}
	ring := proctest.NewRing(t, size)
	want := storeSome(t, ring.Nodes[0], 40)
	left := slices.Clone(ring.Nodes)
	for len(left) > 2 {
		leaver := left[0]
		left = left[1:]
		var report struct{ Short []string }
		result := leaver.Run(t, "logout", "--timeout", "60s", "--json").OK(t)
		result.JSON(t, &report)
		t.Logf("%s logged out in %v", leaver.Name, result.Took)
		assert.Empty(t, report.Short, leaver.Name)
		assert.NoDirExists(t, filepath.Join(leaver.Home, "files"))
		for _, n := range left {
			want.check(t, n)
		}
	}
	ring.WaitWhole(t, left...)
	for name := range want {
		file := left[0].Stat(t, name)
		assert.True(t, file.Confirmed, name)
		assert.ElementsMatch(t, []string{left[0].Name, left[1].Name}, file.Durable(), name)
	}
}
