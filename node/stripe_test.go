package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

const (
	linkRate    = 12_000_000 // bytes a second
	stripedSize = 52*filestore.ChunkSize - 1000
)

// striped stores a large file and has a node that does not hold it fetch it from
// holders of which each sends linkRate at most.
func striped(t *testing.T, f func(t *testing.T, r *ringtest.Ring, by *ringtest.Member, holders []*ringtest.Member, fetch func(io.Writer) ([]string, time.Duration))) {
	ringtest.Test(t, ringtest.Options{Nodes: 4, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, stripedSize)
		r.Store(r.Members[0], "large", content, node.StoreOptions{})
		r.Whole(time.Minute)
		holders := r.Holders(r.Members[0], "large")
		by := r.Others(holders...)[0]
		for _, h := range holders {
			r.Net.SetBandwidth(by.Host, h.Host, linkRate)
		}
		f(t, r, by, holders, func(to io.Writer) (from []string, took time.Duration) {
			took = timed(t, func(ctx context.Context) error {
				x, err := by.Fetch(ctx, "large", node.FetchOptions{})
				require.NoError(t, err)
				var got bytes.Buffer
				_, err = io.Copy(io.MultiWriter(&got, to), x)
				from = x.From()
				assert.True(t, bytes.Equal(content, got.Bytes()))
				return errors.Join(err, x.Close())
			})
			return from, took
		})
	})
}

const alone = 52 * filestore.ChunkSize * time.Second / linkRate

// Where each holder sends less than the reader takes, several are read at once.
func TestFetchFromSeveralHolders(t *testing.T) {
	striped(t, func(t *testing.T, _ *ringtest.Ring, _ *ringtest.Member, _ []*ringtest.Member, fetch func(io.Writer) ([]string, time.Duration)) {
		from, took := fetch(io.Discard)
		assert.Len(t, from, 3)
		assert.Less(t, took, alone*7/10, "a third comes from one alone, the rest from three")
	})
}

// One that falls silent or fails in the middle does not end the fetch, nor set its pace.
func TestOneOfSeveralHoldersFails(t *testing.T) {
	type failure struct {
		name  string
		count int           // of holders that fail; one is whole
		at    time.Duration // three are read at once
		fault func(r *ringtest.Ring, by, holder *ringtest.Member)
	}
	cases := []failure{
		{"cut", 1, alone * 4 / 10, func(r *ringtest.Ring, by, holder *ringtest.Member) { r.Net.CutBoth(by.Host, holder.Host) }},
		{"damaged", 2, 0, func(_ *ringtest.Ring, _, holder *ringtest.Member) { _ = holder.Rot("large", 40*filestore.ChunkSize) }},
		{"killed", 1, alone * 4 / 10, func(r *ringtest.Ring, _, holder *ringtest.Member) { r.Crash(holder) }},
		{"slow", 1, alone * 4 / 10, func(r *ringtest.Ring, by, holder *ringtest.Member) {
			r.Net.SetBandwidth(by.Host, holder.Host, linkRate/50)
		}},
	}
	for _, c := range bubble.Some(cases, 1) {
		t.Run(c.name, func(t *testing.T) {
			striped(t, func(t *testing.T, r *ringtest.Ring, by *ringtest.Member, holders []*ringtest.Member, fetch func(io.Writer) ([]string, time.Duration)) {
				failed := make(chan struct{})
				time.AfterFunc(c.at, func() {
					for _, h := range holders[:c.count] {
						c.fault(r, by, h)
					}
					close(failed)
				})
				_, took := fetch(io.Discard)
				assert.Less(t, took, alone)
				<-failed
				r.Net.HealAll()
				if !holders[0].Running() {
					r.Start(holders[0])
				}
				r.Net.SetBandwidth(by.Host, holders[0].Host, linkRate)
				r.Whole(5 * time.Minute)
			})
		})
	}
}

// When all of them fail at once, the fetch fails, and soon.
func TestAllOfSeveralHoldersFail(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "large", noise(1, stripedSize), node.StoreOptions{})
		r.Whole(time.Minute)
		holders := r.Holders(r.Members[0], "large")
		by := r.Others(holders...)[0]
		for _, h := range holders {
			r.Net.SetBandwidth(by.Host, h.Host, linkRate)
		}
		for _, at := range bubble.Some([]time.Duration{40, 44, 48, 52}, 1) { // hundredths of what one alone takes
			time.AfterFunc(alone*at/100, func() {
				for _, h := range holders {
					r.Net.CutBoth(by.Host, h.Host)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			x, err := by.Fetch(ctx, "large", node.FetchOptions{})
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, x)
			assert.ErrorIs(t, err, node.ErrUnavailable)
			assert.NoError(t, ctx.Err())
			require.NoError(t, x.Close())
			cancel()
			r.Net.HealAll()
			r.Settled()
		}
	})
}

// Where the reader sets the pace, one holder is as good as three, and stays.
func TestFetchFromOneHolderWhereSeveralAreNoFaster(t *testing.T) {
	striped(t, func(t *testing.T, r *ringtest.Ring, by *ringtest.Member, holders []*ringtest.Member, fetch func(io.Writer) ([]string, time.Duration)) {
		sent := func() (all []int64) {
			for _, h := range holders {
				all = append(all, r.Net.Sent(h.Host, by.Host))
			}
			return all
		}
		before, most := sent(), int64(0)
		fetch(slowly{})
		for i, after := range sent() {
			most = max(most, after-before[i])
		}
		assert.Greater(t, most, int64(31*filestore.ChunkSize), "a fair share is 28: the first 16 and a third of the rest")
	})
}

// slowly takes half as much as one link brings.
type slowly struct{}

func (slowly) Write(p []byte) (int, error) {
	time.Sleep(2 * time.Second * time.Duration(len(p)) / linkRate)
	return len(p), nil
}
