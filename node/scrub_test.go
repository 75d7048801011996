package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// Files that nobody reads rot, one copy of each, everywhere: the next scrub
// finds and heals them all.
func TestScrubFindsWhatNobodyReads(t *testing.T) {
	o := ringtest.Options{Nodes: 5, Timing: node.Timing{ScrubEvery: 4 * time.Minute}}
	ringtest.Test(t, o, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(30)
		rotten := map[*ringtest.Member]int{}
		for i, name := range names {
			holders := r.Holders(r.Members[0], name)
			m := holders[i%len(holders)]
			require.NoError(t, m.Rot(name, int64(i%5)))
			rotten[m]++
		}
		time.Sleep(9 * time.Minute)
		for _, m := range r.Members {
			s := m.Scrub()
			assert.Equal(t, node.ScrubWaiting, s.State, m.Host)
			assert.False(t, s.Last.Ended.IsZero(), m.Host)
			assert.Equal(t, rotten[m], s.Found, m.Host)
			assert.Equal(t, rotten[m], s.Healed, m.Host)
			for _, v := range verifyAll(t, m) {
				assert.Equal(t, node.VerifiedOK, v.State, "%s at %s", v.Name, m.Host)
			}
		}
		assert.Empty(t, r.Lacks())
	})
}

func verifyAll(t *testing.T, m *ringtest.Member) (all []node.Verified) {
	t.Helper()
	_, err := m.Verify(t.Context(), node.VerifyOptions{}, func(v node.Verified, _ node.VerifyProgress) error {
		if v.State != "" {
			all = append(all, v)
		}
		return nil
	})
	require.NoError(t, err)
	return all
}

// A scrub reads no faster than it may, and a pause, a clean stop and a power
// cut each leave it where it was.
func TestScrubGoesOn(t *testing.T) {
	const size = filestore.ChunkSize
	o := ringtest.Options{Nodes: 1, N: 1, Timing: node.Timing{ScrubRate: size / 10}}
	ringtest.Test(t, o, func(t *testing.T, r *ringtest.Ring) {
		m := r.Members[0]
		const files = 60 // ten minutes of reading
		for i := range files {
			r.Store(m, string(rune('A'+i)), noise(uint64(i), size), node.StoreOptions{})
		}
		start := time.Now()
		reads := 0
		begun := func() int {
			t.Helper()
			s := m.Scrub()
			require.LessOrEqual(t, s.Pass.Bytes, int64(time.Since(start).Seconds()+1)*size/10+2*size, "it is too fast")
			return s.Pass.Files
		}
		require.NoError(t, m.ScrubStart())
		time.Sleep(130 * time.Second)
		assert.Equal(t, node.ScrubRunning, m.Scrub().State)
		assert.InDelta(t, size/10, m.Scrub().Rate, size/50)
		reads = begun()
		assert.InDelta(t, 13, reads, 2)

		require.NoError(t, m.ScrubPause())
		time.Sleep(time.Hour)
		assert.Equal(t, node.ScrubPaused, m.Scrub().State)
		assert.InDelta(t, reads, m.Scrub().Pass.Files, 1)
		r.Stop(m)
		r.Start(m)
		r.Ready(m)
		time.Sleep(time.Hour)
		assert.Equal(t, node.ScrubPaused, m.Scrub().State, "over a restart")
		assert.InDelta(t, reads, m.Scrub().Pass.Files, 1)

		require.NoError(t, m.ScrubStart())
		time.Sleep(3 * time.Minute)
		reads = m.Scrub().Pass.Files
		assert.InDelta(t, 13+18, reads, 3)
		r.Crash(m)
		r.Start(m)
		r.Ready(m)
		time.Sleep(10 * time.Second)
		assert.GreaterOrEqual(t, m.Scrub().Pass.Files, reads-8, "no more than a minute is lost")
		r.Eventually(8*time.Minute, "the pass ends", func() bool { return !m.Scrub().Last.Ended.IsZero() })
		s := m.Scrub()
		assert.Equal(t, files, s.Last.Files)
		assert.EqualValues(t, files*size, s.Last.Bytes)
		assert.Equal(t, node.ScrubWaiting, s.State)
		assert.WithinDuration(t, s.Last.Begun.Add(7*24*time.Hour), s.Next, time.Hour*3)
	})
}
