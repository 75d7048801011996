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

// unavailable fails what is asked about for the first times.
func unavailable(name string, times int) func(string, int) *api.Error {
	return func(of string, attempt int) *api.Error {
		if of == name && attempt < times {
			return api.Describe(node.ErrUnavailable)
		}
		return nil
	}
}

// A file that fails in a way that may pass is stored again together with others that
// did, with the operation that it has. One that fails for good is not.
func TestStoredInRounds(t *testing.T) {
	passing := unavailable("f1", 2)
	d := &fakeDaemon{looked: unavailable("f3", 1), many: func(name string, attempt int) *api.Error {
		if name == "f2" {
			return api.Describe(node.ErrExists)
		}
		return passing(name, attempt)
	}}
	s := testStorer(t, d)
	s.report.items = 5
	s.all(t.Context(), smallUploads(t, 5))
	err := s.report.end(t.Context())
	require.Error(t, err)
	assert.Equal(t, api.ExitPartial, api.Describe(err).Code)
	assert.Equal(t, [3]int{4, 0, 1}, s.report.counts)
	assert.Empty(t, d.ops, "none is sent alone")
	for name, ops := range d.manyOps {
		assert.Len(t, ops, map[string]int{"f1": 3}[name]+map[bool]int{true: 1}[name != "f1"], name)
		for _, op := range ops {
			assert.Equal(t, ops[0], op)
			assert.Contains(t, op, " 5", "with the change counter of before the first attempt")
		}
	}
	assert.Equal(t, map[string]int{"f0": 1, "f1": 1, "f2": 1, "f3": 2, "f4": 1}, d.looks, "what is known is not asked again")
}

// Files whose nodes do not answer hold up none of the others, however many they are.
func TestNoFileWaitsForThoseThatFail(t *testing.T) {
	const count = 3 * batchFiles * batchCalls
	d := &fakeDaemon{}
	fine := 0
	missing := func(name string) bool { return len(name)%2 == 0 } // f0 to f9, f100 and on
	d.looked = func(name string, _ int) *api.Error {
		if missing(name) && fine < count-missed(count, missing) {
			return api.Describe(node.ErrUnavailable)
		}
		return nil
	}
	d.many = func(name string, _ int) *api.Error {
		if !missing(name) {
			fine++
		}
		return nil
	}
	s := testStorer(t, d)
	s.report.items = count
	s.all(t.Context(), smallUploads(t, count))
	require.NoError(t, s.report.end(t.Context()))
	assert.Equal(t, [3]int{count, 0, 0}, s.report.counts)
	assert.Empty(t, d.ops)
}

// missed counts the uploads of smallUploads whose names are among the missing.
func missed(count int, missing func(string) bool) (n int) {
	for i := range count {
		if missing(fmt.Sprint("f", i)) {
			n++
		}
	}
	return n
}

// What nobody can tell anything about is stored all the same, at once.
func TestVacantNamesAreStoredTogether(t *testing.T) {
	d := &fakeDaemon{
		looked: func(string, int) *api.Error { return api.Describe(node.ErrVacant) },
		many:   func(string, int) *api.Error { return nil },
	}
	s := testStorer(t, d)
	s.report.items = 5
	s.all(t.Context(), smallUploads(t, 5))
	require.NoError(t, s.report.end(t.Context()))
	assert.Len(t, d.manyOps, 5)
	assert.Empty(t, d.ops)
}

// What goes on failing is reported when the time for it is over, each by its name.
func TestRoundsEnd(t *testing.T) {
	d := &fakeDaemon{many: func(string, int) *api.Error { return api.Describe(node.ErrUnavailable) }}
	s := testStorer(t, d)
	s.options.retry = 0
	s.report.items = 3
	s.all(t.Context(), smallUploads(t, 3))
	err := s.report.end(t.Context())
	require.Error(t, err)
	assert.Equal(t, [3]int{0, 0, 3}, s.report.counts)
}

// That no daemon runs ends a store only where there was none for any file.
func TestNoDaemonForSomeFilesOnly(t *testing.T) {
	none := api.Describe(api.ErrNoDaemon)
	for what, c := range map[string]struct {
		first  map[string]*api.Error // failures of the first round
		counts [3]int
	}{
		"the others are unavailable": {map[string]*api.Error{"f0": none, "f1": api.Describe(node.ErrUnavailable)}, [3]int{3, 0, 0}},
		"the others are stored":      {map[string]*api.Error{"f0": none}, [3]int{3, 0, 0}},
		"there are no others":        {map[string]*api.Error{"f0": none, "f1": none, "f2": none}, [3]int{0, 0, 3}},
	} {
		t.Run(what, func(t *testing.T) {
			s := testStorer(t, &fakeDaemon{many: func(name string, attempt int) *api.Error {
				if attempt == 0 {
					return c.first[name]
				}
				return nil
			}})
			s.report.items = 3
			s.all(t.Context(), smallUploads(t, 3))
			_ = s.report.end(t.Context())
			assert.Equal(t, c.counts, s.report.counts)
		})
	}
}

// Empty files go together with others.
func TestEmptyFilesGoTogether(t *testing.T) {
	d := &fakeDaemon{many: func(string, int) *api.Error { return nil }}
	s := testStorer(t, d)
	uploads := smallUploads(t, 2)
	uploads = append(uploads, fileUpload(t, ""))
	s.report.items = len(uploads)
	s.all(t.Context(), uploads)
	require.NoError(t, s.report.end(t.Context()))
	assert.Len(t, d.manyOps, 3)
	assert.Empty(t, d.ops)
}

// A signal that comes before all files were dealt with is no success, though none has
// failed; one that comes later changes nothing.
func TestStoppedBeforeTheEnd(t *testing.T) {
	for _, come := range []int{3, 2} {
		d := &fakeDaemon{refuse: func(int) *api.Error { return nil }, many: func(string, int) *api.Error { return nil }}
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
