package node_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// source is the member that a fetch reads from now.
func source(t *testing.T, r *ringtest.Ring, f *node.Fetched) *ringtest.Member {
	t.Helper()
	from := f.From()
	require.NotEmpty(t, from)
	for _, m := range r.Members {
		if m.Host == from[len(from)-1] {
			return m
		}
	}
	require.FailNow(t, "no such member", from)
	return nil
}

func TestFetchOutlivesItsSources(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, 8*filestore.ChunkSize+100)
		r.Store(r.Members[0], "file", content, node.StoreOptions{})
		by := outside(t, r, "file")
		for _, m := range r.Others(by) {
			r.Net.SetBandwidth(m.Host, by.Host, 4<<20)
		}
		f, err := by.Fetch(t.Context(), "file", node.FetchOptions{})
		require.NoError(t, err)
		got := make([]byte, 2*filestore.ChunkSize+10)
		_, err = io.ReadFull(f, got)
		require.NoError(t, err)
		first := source(t, r, f)
		r.Crash(first) // the connection is reset
		more := make([]byte, 3*filestore.ChunkSize)
		_, err = io.ReadFull(f, more)
		require.NoError(t, err)
		second := source(t, r, f)
		r.Net.CutBoth(second.Host, by.Host) // nothing more arrives
		rest, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		assert.True(t, bytes.Equal(content, append(append(got, more...), rest...)))
		assert.Len(t, f.From(), 3)
		r.Net.HealAll()
		r.Start(first)
		r.Ready(first)
		r.Whole(3 * time.Minute)
	})
}

// A machine that says at once that it has not got a file is not slow.
func TestWhoFailsIsNotSlow(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, 2*filestore.ChunkSize)
		r.Store(r.Members[0], "file", content, node.StoreOptions{})
		without := outside(t, r, "file").Membership.Machine()
		by := r.Others(r.Member(without))[0]
		got, err := by.FetchFirstFrom(t.Context(), "file", without)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, got))
		time.Sleep(10 * time.Second)
		assert.False(t, by.IsSlow(without))
	})
}

func TestDamageIsNeverServed(t *testing.T) {
	for _, damaged := range []int{1, 2, 3} {
		ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
			content := noise(1, 4*filestore.ChunkSize)
			r.Store(r.Members[0], "file", content, node.StoreOptions{})
			by := outside(t, r, "file")
			holders := r.Holders(by, "file")
			require.Len(t, holders, 3)
			for _, m := range holders[:damaged] {
				require.NoError(t, m.Rot("file", 2*filestore.ChunkSize+7))
			}
			if damaged < 3 {
				for _, m := range r.Members { // the holders themselves too
					r.CheckName(m, "file", content)
				}
				r.Whole(3 * time.Minute)
				return
			}
			for _, m := range r.Members {
				got, _, err := ringtest.Fetch(t.Context(), m, "file", node.FetchOptions{})
				require.Error(t, err)
				assert.True(t, bytes.HasPrefix(content, got), "what came before the damage is right")
			}
			r.Forget("file") // nobody has it any more
			r.Store(r.Members[0], "file", []byte("new"), node.StoreOptions{IfExists: node.Replace})
		})
	}
}

func TestDamageFoundInTheMiddle(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, 8*filestore.ChunkSize)
		r.Store(r.Members[0], "file", content, node.StoreOptions{})
		by := outside(t, r, "file")
		for _, m := range r.Others(by) {
			r.Net.SetBandwidth(m.Host, by.Host, 4<<20)
		}
		f, err := by.Fetch(t.Context(), "file", node.FetchOptions{})
		require.NoError(t, err)
		got := make([]byte, filestore.ChunkSize)
		_, err = io.ReadFull(f, got)
		require.NoError(t, err)
		require.NoError(t, source(t, r, f).Rot("file", 7*filestore.ChunkSize))
		rest, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		assert.True(t, bytes.Equal(content, append(got, rest...)))
		assert.Len(t, f.From(), 2)
		r.Whole(3 * time.Minute)
	})
}

// A fetch that is given up must leave nothing behind.
func TestFetchGivenUp(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, 8*filestore.ChunkSize)
		r.Store(r.Members[0], "file", content, node.StoreOptions{})
		for _, m := range r.Members {
			f, err := m.Fetch(t.Context(), "file", node.FetchOptions{})
			require.NoError(t, err)
			_, err = io.ReadFull(f, make([]byte, filestore.ChunkSize+1))
			require.NoError(t, err)
			require.NoError(t, f.Close())

			ctx, cancel := context.WithCancel(t.Context())
			f, err = m.Fetch(ctx, "file", node.FetchOptions{})
			require.NoError(t, err)
			cancel()
			_, err = io.ReadAll(f)
			assert.ErrorIs(t, err, context.Canceled)
			require.NoError(t, f.Close())
		}
	})
}
