package node_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// sized are the options of a store whose length is known.
func sized(content []byte) node.StoreOptions {
	return node.StoreOptions{Size: int64(len(content)), Empty: len(content) == 0}
}

// Many small files at once are stored and fetched by everybody, and no stream is
// opened for any of them.
func TestManySmallFiles(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		count := bubble.Fewer(300)
		contents := map[string][]byte{}
		for i := range count {
			content := noise(uint64(i), 1+i*200)
			switch i % 3 {
			case 0:
				content = bytes.Repeat([]byte("shrinks "), 1+i*8)
			case 1:
				content = []byte{}
			}
			contents[fmt.Sprint("file ", i)] = content
		}
		before := r.Net.Made()
		var all sync.WaitGroup
		for name, content := range contents {
			all.Go(func() {
				got, err := r.Members[0].Store(t.Context(), name, bytes.NewReader(content), sized(content))
				if assert.NoError(t, err, name) {
					assert.Equal(t, node.Stored, got.Action)
					assert.Equal(t, 3, got.Copies)
				}
			})
		}
		all.Wait()
		for name, content := range contents {
			r.Acknowledged(name, content)
			for _, m := range r.Members {
				all.Go(func() {
					got, file, err := ringtest.Fetch(t.Context(), m, name, node.FetchOptions{})
					assert.NoError(t, err, name)
					assert.True(t, file.Confirmed)
					assert.True(t, bytes.Equal(content, got), name)
				})
			}
		}
		all.Wait()
		assert.LessOrEqual(t, r.Net.Made()-before, 5*4, "one to each, and those only where there was none")
	})
}

// Whoever owns a name that nobody has stored asks nobody about it first: a store of
// small content takes one round, of which it is all there is.
func TestANewNameTakesOneRound(t *testing.T) {
	const round = 100 * time.Millisecond
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: round / 2}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		m := r.Members[0]
		content := noise(1, 1000)
		for i, name := range owned(t, r, "new", m, 4) {
			o := sized(content)
			o.Op = node.NewOp()
			start := time.Now()
			got, err := m.Store(t.Context(), name, bytes.NewReader(content), o)
			require.NoError(t, err)
			assert.Equal(t, 3, got.Copies)
			if i > 0 { // the first finds out where it goes
				assert.Less(t, time.Since(start), 3*round/2)
			}
		}
	})
}

// Content that is not as long as it was said to be is not stored.
func TestSmallContentOfAnotherLength(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		for _, m := range r.Members {
			for _, size := range []int64{9, 11} {
				_, err := m.Store(t.Context(), "name", bytes.NewReader(noise(1, 10)), node.StoreOptions{Size: size})
				require.ErrorIs(t, err, node.ErrInterrupted)
			}
			_, err := m.Store(t.Context(), "name", bytes.NewReader(noise(1, 10)), node.StoreOptions{Empty: true})
			require.ErrorIs(t, err, node.ErrInterrupted)
			_, err = m.Stat(t.Context(), "name")
			require.ErrorIs(t, err, node.ErrNotFound)
		}
	})
}

// A small copy that is damaged is never served, and healed when it is read.
func TestSmallDamage(t *testing.T) {
	for _, damaged := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(damaged), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
				content := noise(1, 5000)
				r.Store(r.Members[0], "file", content, sized(content))
				time.Sleep(2 * time.Minute) // its files are all there is of it, and no repair is due
				holders := r.Holders(r.Members[0], "file")
				require.Len(t, holders, 3)
				for _, m := range holders[:damaged] {
					require.NoError(t, m.Rot("file", 4999))
				}
				if damaged < 3 {
					for _, m := range r.Members {
						r.CheckName(m, "file", content)
					}
					r.Whole(soon)
					return
				}
				for _, m := range r.Members {
					got, _, err := ringtest.Fetch(t.Context(), m, "file", node.FetchOptions{})
					require.Error(t, err)
					assert.Empty(t, got)
				}
				r.Forget("file")
				r.Store(r.Members[0], "file", []byte("new"), node.StoreOptions{IfExists: node.Replace, Size: 3})
			})
		})
	}
}

// A small store goes on at the next coordinator when the first is gone, and happens
// once however far that one had come.
func TestSmallStoreOutlivesItsCoordinator(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 6 * time.Millisecond, 9 * time.Millisecond, 12 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				content := noise(1, 10_000)
				by := outside(t, r, "file")
				owner := groupOf(t, r, "file")[0]
				o := sized(content)
				o.Op = node.NewOp()
				done := make(chan error, 1)
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					_, err := by.Store(ctx, "file", bytes.NewReader(content), o)
					done <- err
				}()
				time.Sleep(after)
				r.Crash(owner)
				require.NoError(t, <-done)
				r.Acknowledged("file", content)
				assert.EqualValues(t, 1, changes(t, by, "file"))
				r.Start(owner)
				r.Ready(owner)
				r.Whole(3 * time.Minute)
			})
		})
	}
}

// Who stops waiting for a small store does not know whether it has happened.
func TestSmallStoreGivenUp(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		name, by, group := stranger(t, r)
		for _, m := range group {
			m.Disk.SetLatency(2 * time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o := node.StoreOptions{Op: node.NewOp(), Size: 5}
		_, err := by.Store(ctx, name, bytes.NewReader([]byte("small")), o)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, node.ErrUnavailable, "which says that nothing was changed")
		for _, m := range group {
			m.Disk.SetLatency(0)
		}
		time.Sleep(time.Minute)
		got := r.Store(by, name, []byte("small"), o)
		assert.Equal(t, o.Op, got.Record.Op)
		r.CheckName(by, name, []byte("small"))
	})
}

// A full disk at the voters is named as one, for a small file as for a large one.
func TestSmallContentThatFitsNowhere(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, 50_000)
		for _, m := range r.Members {
			m.Disk.SetCapacity(10_000)
		}
		_, err := r.Members[0].Store(t.Context(), "file", bytes.NewReader(content), sized(content))
		require.ErrorIs(t, err, filestore.ErrNoSpace)
	})
}
