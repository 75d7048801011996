package filestore

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// A start does few things one after the other, however much is in the journal: on a
// disk that takes seconds for each, others would take the node's place meanwhile.
func TestAStartOnASlowDisk(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const latency = time.Second
		d := NewMemDisk()
		o := Options{Disk: d, Small: 64 << 10, Positions: [][20]byte{{1}}}
		s, err := Open(o)
		require.NoError(t, err)
		contents := map[string][]byte{}
		for i := range restoreAtOnce {
			name := fmt.Sprint("small ", i)
			contents[name] = content(byte(i), 1000+i)
			require.NoError(t, put(s, ballot(1), name, contents[name]))
		}
		d.Crash(rand.New(rand.NewPCG(1, 1)))
		d.SetLatency(latency)
		start := time.Now()
		s, err = Open(o)
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(start), 8*latency)
		d.SetLatency(0)
		contents["later"] = content(99, 5000)
		require.NoError(t, put(s, ballot(1), "later", contents["later"]))
		require.NoError(t, s.Flush()) // with which the journal's content goes, also what was there at the start
		d.Crash(rand.New(rand.NewPCG(2, 2)))
		s, err = Open(o)
		require.NoError(t, err)
		for name, data := range contents {
			requireContent(t, s, name, data)
		}
		require.NoError(t, s.Close())
	})
}
