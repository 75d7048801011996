package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// Every item is in one stretch, and no more are under way than was asked for.
func TestBatchesCoverAll(t *testing.T) {
	for _, most := range []int{0, 2, 5, 127, 128, 129, 300, 1000} {
		for _, items := range []int{0, 1, 2, 127, 128, 129, 1000} {
			b := newBatches(most, items)
			var mu sync.Mutex
			seen := make([]int, items)
			now, peak := 0, 0
			b.run(t.Context(), func(from, to int) {
				mu.Lock()
				now += to - from
				peak = max(peak, now)
				for i := from; i < to; i++ {
					seen[i]++
				}
				mu.Unlock()
				mu.Lock()
				now -= to - from
				mu.Unlock()
			})
			b.wait()
			for i, n := range seen {
				assert.Equal(t, 1, n, "item %d of %d", i, items)
			}
			assert.LessOrEqual(t, b.each, api.MaxNames)
			if most > 0 {
				assert.LessOrEqual(t, b.each*b.calls, most)
				assert.LessOrEqual(t, peak, most)
			}
		}
	}
}

func TestBatchesEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := newBatches(2, 1000)
	n := 0
	b.run(ctx, func(int, int) { // one at a time
		n++
		cancel()
	})
	b.wait()
	assert.Equal(t, 1, n)
}

// smallUploads are files of a folder.
func smallUploads(t *testing.T, count int) []upload {
	t.Helper()
	dir := t.TempDir()
	var all []upload
	for i := range count {
		path := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.WriteFile(path, []byte(fmt.Sprint("content ", i)), 0o600))
		info, err := os.Stat(path)
		require.NoError(t, err)
		u := upload{name: fmt.Sprint("f", i), path: path, info: info}
		if i%2 == 0 { // as one that was found in a folder
			u.folder, u.path = dir, fmt.Sprint(i)
		}
		all = append(all, u)
	}
	return all
}

// A file that fails in a way that may pass is stored again by itself, with the
// operation that it has; others do not wait for it.
func TestStoredTogetherThenAlone(t *testing.T) {
	d := &fakeDaemon{refuse: func(int) *api.Error { return nil }, many: func(name string) *api.Error {
		switch name {
		case "f1":
			return api.Describe(node.ErrUnavailable)
		case "f2":
			return api.Describe(node.ErrExists)
		}
		return nil
	}}
	s := testStorer(t, d)
	s.report.items = 5
	s.all(t.Context(), smallUploads(t, 5))
	err := s.report.end(t.Context())
	require.Error(t, err)
	assert.Equal(t, api.ExitPartial, api.Describe(err).Code)
	assert.Equal(t, [3]int{4, 0, 1}, s.report.counts)
	assert.Len(t, d.manyOps, 5)
	require.Len(t, d.ops, 1, "one is sent alone")
	assert.Equal(t, d.manyOps["f1"], d.ops[0])
}

// A signal that comes before all files were dealt with is no success, though none has
// failed; one that comes later changes nothing.
func TestStoppedBeforeTheEnd(t *testing.T) {
	for _, come := range []int{3, 2} {
		d := &fakeDaemon{refuse: func(int) *api.Error { return nil }, many: func(string) *api.Error { return nil }}
		s := testStorer(t, d)
		s.report.items = 3
		s.all(t.Context(), smallUploads(t, come))
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(Interrupted{Signal: os.Interrupt})
		s.all(ctx, smallUploads(t, 3-come))
		err := s.report.end(ctx)
		assert.Equal(t, map[int]int{3: 0, 2: 130}[come], s.app.exit(ctx, err))
		assert.Equal(t, [3]int{come, 0, 0}, s.report.counts)
	}
}

// A daemon that does not know the calls about many files, or fails them, is asked
// for one file after the other.
func TestManyFilesAtAnOlderDaemon(t *testing.T) {
	d := &fakeDaemon{refuse: func(int) *api.Error { return nil }}
	s := testStorer(t, d)
	s.report.items = 3
	s.all(t.Context(), smallUploads(t, 3))
	require.NoError(t, s.report.end(t.Context()))
	assert.Len(t, d.ops, 3)
	assert.Equal(t, [3]int{3, 0, 0}, s.report.counts)
}
