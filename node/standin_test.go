package node_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// A machine is gone for good, and the one that follows it in the group is full: the
// next one keeps the third copy, made by repair.
func TestRepairMakesStandIns(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, 100_000)
		r.Store(r.Members[0], "file", content, node.StoreOptions{Size: int64(len(content))})
		group := groupOf(t, r, "file")
		full := memberAfter(r, group[2], 1)
		full.Disk.SetCapacity(10_000)
		r.Crash(group[1])
		standsIn := func() (l []node.Holder) {
			f, err := r.Up()[0].Stat(t.Context(), "file")
			require.NoError(t, err)
			return slices.DeleteFunc(f.Holders, func(h node.Holder) bool { return h.Voter || h.State != node.Durable })
		}
		r.Eventually(3*time.Minute, "another keeps a copy", func() bool { return len(standsIn()) == 1 })
		f, err := r.Up()[0].Stat(t.Context(), "file")
		require.NoError(t, err)
		assert.Equal(t, 3, f.Copies)
		assert.Contains(t, machines(f.Holders, func(h node.Holder) bool { return h.Voter }), full.Membership.Machine())
		made := r.Member(standsIn()[0].Machine).Disk.Staged()
		time.Sleep(11 * time.Minute)
		assert.Equal(t, made, r.Member(standsIn()[0].Machine).Disk.Staged(), "it is made once")
	})
}
