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

// Repair copies at its rate, and those who store and fetch do not wait for it.
func TestRepairLeavesRoomForClients(t *testing.T) {
	const size = 12 * filestore.ChunkSize
	o := ringtest.Options{Nodes: 4, Timing: node.Timing{RepairRate: filestore.ChunkSize}}
	ringtest.Test(t, o, func(t *testing.T, r *ringtest.Ring) {
		start := time.Now()
		r.Store(r.Members[0], "file", noise(1, size), node.StoreOptions{})
		assert.Less(t, time.Since(start), 5*time.Second, "a store does not wait")
		voters := r.Holders(r.Members[0], "file")
		r.Crash(voters[0])
		missing := r.Others(voters...)
		require.Len(t, missing, 1)
		r.Eventually(time.Minute, "a copy is under way", func() bool { return len(missing[0].Disk.Leftovers()) > 0 })
		start = time.Now()
		_, _, err := ringtest.Fetch(t.Context(), missing[0], "file", node.FetchOptions{})
		require.NoError(t, err)
		r.Store(missing[0], "meanwhile", noise(2, size), node.StoreOptions{})
		assert.Less(t, time.Since(start), 5*time.Second, "clients do not wait")
		r.Whole(time.Minute)
		assert.Greater(t, time.Since(start), 8*time.Second, "12 MiB at 1 MiB a second")
	})
}
