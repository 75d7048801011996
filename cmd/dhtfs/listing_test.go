//go:build unix

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// A pattern, or a folder, stands for what all nodes have. Where one does not answer there
// may be more: what is found is fetched or removed, and the command says that it may not
// have been all.
func TestPatternsWhenANodeIsDown(t *testing.T) {
	t.Parallel()
	plainOnly(t)
	ring := proctest.NewRing(t, 4)
	at := ring.Nodes[0]
	want := storeSome(t, at, 12)
	proctest.Kill(t, ring.Nodes[3])
	for _, what := range []string{"some/*", "some/"} {
		target := t.TempDir()
		result := at.Run(t, "fetch", what, "-o", target)
		assert.Equal(t, 3, result.Code, "%s", result)
		assert.Contains(t, string(result.Stderr), "1 of 4 nodes did not answer")
		files, err := os.ReadDir(target + "/some")
		require.NoError(t, err)
		assert.Len(t, files, countBelow(want, "some/"))
	}
	result := at.Run(t, "--json", "rm", "--yes", "some/")
	assert.Equal(t, 3, result.Code, "%s", result)
	assert.Contains(t, string(result.Stdout), `"type":"summary","ok":false`)
}

func countBelow(s shelf, prefix string) (n int) {
	for name := range s {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}
