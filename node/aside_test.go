package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// Damaged copies are told of, and take no more than a part of a node's space.
func TestQuarantineIsLimited(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 1, Timing: node.Timing{Collect: time.Hour}}, func(t *testing.T, r *ringtest.Ring) {
		m := r.Members[0]
		for i := range 3 {
			name := fmt.Sprint("file ", i)
			r.Store(m, name, noise(uint64(i), 100_000), node.StoreOptions{})
			require.NoError(t, m.Rot(name, 9))
			_, _, err := ringtest.Fetch(t.Context(), m, name, node.FetchOptions{})
			require.Error(t, err)
			r.Forget(name)
			time.Sleep(time.Second)
		}
		aside := func() int64 { return m.Members(t.Context())[0].Aside }
		assert.Equal(t, int64(300_000), aside())
		m.Disk.SetCapacity(1 << 20)
		r.Eventually(2*time.Hour, "it is trimmed", func() bool { return aside() == 100_000 })
	})
}
