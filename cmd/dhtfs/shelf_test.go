//go:build unix

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// shelf is what a ring should hold: the SHA-256 of each name's content, in hex.
type shelf map[string]string

func (s shelf) names() []string { return slices.Sorted(maps.Keys(s)) }

// noise is n bytes that do not shrink and are the same for the same seed.
func noise(seed string, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8(sha256.Sum256([]byte(seed))), n)
}

// writeFile makes a file of n bytes of noise.
func writeFile(t testing.TB, path string, n int64) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = io.Copy(f, noise(path, n))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// hashOf is the SHA-256 of what r has.
func hashOf(t testing.TB, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	_, err := io.Copy(h, r)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

func hashOfFile(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	return hashOf(t, f)
}

// read adds the files below a folder under their paths relative to it.
func (s shelf) read(t testing.TB, dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		s[filepath.ToSlash(name)] = hashOfFile(t, path)
		return err
	}))
}

// storeSome stores n small files through a node and returns what they are.
func storeSome(t testing.TB, at *proctest.Node, n int) shelf {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		writeFile(t, filepath.Join(dir, "some", fmt.Sprintf("%02d.bin", i)), 20<<10+int64(i))
	}
	at.Run(t, "store", filepath.Join(dir, "some")).OK(t)
	s := shelf{}
	s.read(t, dir)
	return s
}

// check fetches everything through a node and compares it, and returns how long
// the fetch took.
func (s shelf) check(t testing.TB, at *proctest.Node) time.Duration {
	t.Helper()
	dir := t.TempDir() + "/"
	result := at.Run(t, append([]string{"fetch", "--quiet", "--progress", "off", "-o", dir, "--"}, s.names()...)...).OK(t)
	got := shelf{}
	got.read(t, dir)
	assert.Equal(t, s, got, "fetched through %s", at.Name)
	require.NoError(t, os.RemoveAll(dir))
	return result.Took
}

// place returns the order of the nodes that a key falls to, the owner first.
func place(t testing.TB, ring *proctest.Ring, from *proctest.Node, key string, nodes ...*proctest.Node) []string {
	t.Helper()
	places, err := ring.Order(t, from, nodes...)
	require.NoError(t, err)
	first := slices.IndexFunc(places, func(p proctest.Place) bool { return strings.Compare(p.ID, key) >= 0 })
	var names []string
	for i := range places {
		names = append(names, places[(max(first, 0)+i)%len(places)].Name)
	}
	return names
}
