//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	values := []time.Duration{9, 1, 5, 3, 7}
	assert.Equal(t, time.Duration(1), quantile(values, 0))
	assert.Equal(t, time.Duration(5), median(values))
	assert.Equal(t, time.Duration(8), quantile(values, 0.875))
	assert.Equal(t, time.Duration(9), quantile(values, 1))
	assert.Equal(t, []time.Duration{9, 1, 5, 3, 7}, values, "the caller's order stays")
	assert.InDelta(t, 2.5, median([]float64{1, 2, 3, 4}), 1e-9)
	assert.Zero(t, median([]int64(nil)))
}

// A machine that is slow in one round is slow for both.
func TestRatioIsTakenRoundByRound(t *testing.T) {
	walls := func(d ...time.Duration) (s []sample) {
		for _, w := range d {
			s = append(s, sample{wall: w})
		}
		return s
	}
	assert.InDelta(t, 2, ratio(walls(2, 20, 200), walls(1, 10, 100)), 1e-9)
	assert.InDelta(t, 3, ratio(walls(3, 6), walls(1, 2, 7)), 1e-9, "rounds that only one has seen do not count")
	assert.Zero(t, ratio(nil, nil))
}

func TestStatTicksCountsChildren(t *testing.T) {
	stat := "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 100 20 30 4 20 0 1 0 5"
	assert.EqualValues(t, 154, statTicks([]byte(stat)))
	assert.Zero(t, statTicks([]byte("7 (short) S 1")))
}

func TestSizes(t *testing.T) {
	for text, n := range map[string]int64{"64MiB": 64 << 20, "1GiB": 1 << 30, "10KiB": 10 << 10, "123": 123} {
		var b bytesFlag
		require.NoError(t, b.Set(text))
		assert.EqualValues(t, n, b)
	}
	for _, text := range []string{"", "MiB", "-1MiB", "1MB", "0"} {
		assert.Error(t, new(bytesFlag).Set(text), text)
	}
	assert.Equal(t, []string{"64 MiB", "10 KiB", "1025 B"}, []string{size(64 << 20), size(10 << 10), size(1025)})
}

// What is stored is the same every time, and logs look like logs to a compressor.
func TestFilesAreTheSameEachTime(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		require.NoError(t, writeRandom(filepath.Join(dir, "random-"+name), 100_000))
		require.NoError(t, writeLogs(filepath.Join(dir, "logs-"+name), 100_000))
	}
	for _, kind := range []string{"random-", "logs-"} {
		a, err := os.ReadFile(filepath.Join(dir, kind+"a"))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(dir, kind+"b"))
		require.NoError(t, err)
		assert.Len(t, a, 100_000)
		assert.True(t, bytes.Equal(a, b))
	}
}

// The floor moves what it is given: files of one piece and of several.
func TestFloor(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, n := range map[string]int64{"one": 1, "piece": floorPiece, "more": 3*floorPiece + 7} {
		require.NoError(t, writeRandom(filepath.Join(from, name), n))
	}
	pieces, err := cut(from)
	require.NoError(t, err)
	require.NoError(t, floor(from, to, pieces))
	more := filepath.Join(from, "more")
	alone, err := cut(more)
	require.NoError(t, err)
	require.NoError(t, floor(more, filepath.Join(to, "alone"), alone))
	for name, as := range map[string]string{"one": "one", "piece": "piece", "more": "more", "alone": "more"} {
		want, err := os.ReadFile(filepath.Join(from, as))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(to, name))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got), name)
	}
	_, err = cut(filepath.Join(from, "missing"))
	require.Error(t, err)
	require.Error(t, floor(from, filepath.Join(to, "no", "folder"), pieces))
	require.NoError(t, os.WriteFile(more, make([]byte, 3*floorPiece+7), 0o600))
	require.ErrorContains(t, floor(more, filepath.Join(to, "alone"), alone), "not what was sent")
}

// The whole benchmark with little work: the test binary plays dhtfs.
func TestBenchmark(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	program, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("DHTFS_PROCTEST_OF", strconv.Itoa(os.Getpid()))
	dir := t.TempDir()
	var talk bytes.Buffer
	o := options{program: program, dir: dir, out: filepath.Join(dir, "table"), size: 3 << 20, runs: 1, files: 5, stores: 2, nodes: 3, idle: 1}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), o, &out, &talk), "%s", &talk)
	for _, line := range []string{"store 3 MiB random", "fetch 3 MiB logs", "store 5 x 10 KiB", "4 clients fetch 768 KiB each", "dhtfs, by its API", "peak memory", "quiet"} {
		assert.Contains(t, out.String(), line)
	}
	written, err := os.ReadFile(o.out)
	require.NoError(t, err)
	assert.Equal(t, out.String(), string(written))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1, "only the table is left")
}
