//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// oddName is 200 bytes long and has what shells and file systems stumble over.
var oddName = func() string {
	name := "Übersicht \"März\" it's (final) [v2] {a,b} $HOME `x` *?! #1; 50% ß — 📄🦫 "
	return name + strings.Repeat("x", 200-len(name)-len(".txt")) + ".txt"
}()

// TestEveryContentThroughEveryNode stores contents of many kinds through one of
// seven nodes and fetches each through all others.
func TestEveryContentThroughEveryNode(t *testing.T) {
	nodes, many, big := 7, 200, int64(64<<20)
	switch {
	case raceDetector:
		nodes, many, big = 4, 20, 16<<20
	case proctest.Long():
		many, big = 2000, 2<<30
	}
	dir := t.TempDir()
	for i := range many {
		writeFile(t, filepath.Join(dir, "many", fmt.Sprintf("%04d", i)), 10<<10)
	}
	writeFile(t, filepath.Join(dir, "empty"), 0)
	writeFile(t, filepath.Join(dir, "one byte"), 1)
	writeFile(t, filepath.Join(dir, oddName), 3000)
	writeFile(t, filepath.Join(dir, "tree", "a", "b", "c", "deep"), 1<<20)
	writeFile(t, filepath.Join(dir, "tree", "a", "chunk and a byte"), 1<<20+1)
	report, err := os.ReadFile("../../sample-files/handbook.pdf")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "report.pdf"), report, 0o600))
	require.Len(t, oddName, 200)
	want := shelf{}
	want.read(t, dir)

	ring := proctest.NewRing(t, nodes)
	entry := ring.Nodes[3]
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	args := []string{"store", "--quiet", "--progress", "off", "--"}
	for _, e := range entries {
		args = append(args, filepath.Join(dir, e.Name()))
	}
	t.Logf("stored %d files in %v", len(want), entry.Run(t, args...).OK(t).Took)

	const streamed = 3<<20 + 7
	proctest.Start(t, struct{ io.Reader }{noise("stream", streamed)}, nil, entry.Args("store", "-", "--as", "from a pipe")...).Wait(t).OK(t)
	want["from a pipe"] = hashOf(t, noise("stream", streamed))

	bigPath := filepath.Join(t.TempDir(), "big")
	writeFile(t, bigPath, big)
	t.Logf("stored a file of %d MiB in %v", big>>20, entry.Run(t, "store", bigPath).OK(t).Took)
	bigSum := hashOfFile(t, bigPath)

	for i, n := range ring.Except(entry) {
		t.Logf("fetched %d files through %s in %v", len(want), n.Name, want.check(t, n))
		if i >= 3 && !proctest.Long() {
			continue // the big one through three
		}
		sum := sha256.New()
		took := proctest.Start(t, nil, sum, n.Args("cat", "big")...).Wait(t).OK(t).Took
		assert.Equal(t, bigSum, hex.EncodeToString(sum.Sum(nil)), n.Name)
		t.Logf("fetched the big file through %s in %v", n.Name, took)
	}

	t.Run("plain files", func(t *testing.T) { plainFiles(t, ring, entry, report) })
	t.Run("memory", func(t *testing.T) {
		for _, n := range ring.Nodes {
			peak := n.PeakMemory(t)
			t.Logf("%s had up to %d MiB of memory", n.Name, peak>>20)
			if !raceDetector {
				assert.Less(t, peak, int64(100<<20), n.Name)
			}
		}
	})
}

// plainFiles checks that report.pdf is, byte for byte, in the folders of its
// owner and the two nodes after it, and nowhere else.
func plainFiles(t *testing.T, ring *proctest.Ring, entry *proctest.Node, report []byte) {
	file := entry.Stat(t, "report.pdf")
	group := place(t, ring, entry, file.Key, ring.Nodes...)[:3]
	assert.ElementsMatch(t, group, file.Durable())
	var there []string
	for _, n := range ring.Nodes {
		var here []string
		for _, path := range n.Files(t) {
			if filepath.Base(path) == "report.pdf" {
				here = append(here, path)
			}
		}
		if len(here) == 0 {
			continue
		}
		there = append(there, n.Name)
		assert.Equal(t, []string{filepath.Join(n.Daemon(t).NodeID, "report.pdf")}, here)
		content, err := os.ReadFile(filepath.Join(n.Home, "files", here[0]))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(report, content), n.Name)
	}
	assert.ElementsMatch(t, group, there)
}
