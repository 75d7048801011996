package node

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
)

// What a node knew when it last ran stays its claim while the arcs of the ring
// change around it and it has not compared them again: otherwise a few restarts
// in a row can leave a ring in which nobody claims anything.
func TestClaimsOutliveRestarts(t *testing.T) {
	disk := filestore.NewMemDisk()
	open := func() (*filestore.Store, *authority) {
		store, err := filestore.Open(filestore.Options{Disk: disk, Positions: [][20]byte{{1}}})
		require.NoError(t, err)
		a, err := openAuthority(store)
		require.NoError(t, err)
		return store, a
	}
	left, right, beyond := arc{smallID(1), smallID(4)}, arc{smallID(4), smallID(9)}, arc{smallID(9), smallID(12)}
	store, a := open()
	a.learn(left, nil)
	a.learn(right, nil)
	require.NoError(t, a.retain(arcs{left, right}))
	require.NoError(t, store.Close())

	store, a = open()
	assert.False(t, a.knows(left), "names may have come and gone")
	// A death has joined two arcs to one, and a third to them that was never known.
	require.NoError(t, a.retain(arcs{{left.After, beyond.UpTo}}))
	require.NoError(t, store.Close())

	store, a = open()
	assert.True(t, a.claimed(left))
	assert.True(t, a.claimed(right))
	assert.False(t, a.claimed(beyond))
	// What others have is not this node's to speak of any more.
	require.NoError(t, a.retain(arcs{right}))
	assert.False(t, a.claimed(left))
	assert.True(t, a.claimed(right))
	require.NoError(t, store.Close())
}
