package node

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
)

// restarts opens the authority of one node again and again.
func restarts(t *testing.T) (open func() (*filestore.Store, *authority)) {
	disk := filestore.NewMemDisk()
	return func() (*filestore.Store, *authority) {
		store, err := filestore.Open(filestore.Options{Disk: disk, Positions: [][20]byte{{1}}})
		require.NoError(t, err)
		a, err := openAuthority(store)
		require.NoError(t, err)
		return store, a
	}
}

// What a node knew when it last ran stays its claim while the arcs of the ring
// change around it and it has not compared them again: otherwise a few restarts
// in a row can leave a ring in which nobody claims anything.
func TestClaimsOutliveRestarts(t *testing.T) {
	open := restarts(t)
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

// Whoever takes a machine's place in a group ends its authority there, though
// the machine has not looked at the ring since: when it gets the place back
// because others die, it does not know what was stored meanwhile.
func TestAuthorityEndsWithThePlace(t *testing.T) {
	store, err := filestore.Open(filestore.Options{Disk: filestore.NewMemDisk(), Positions: [][20]byte{{1}}})
	require.NoError(t, err)
	a, err := openAuthority(store)
	require.NoError(t, err)
	whole, near, far := arc{smallID(9), smallID(9)}, arc{smallID(4), smallID(9)}, arc{smallID(1), smallID(4)}
	a.learn(whole, nil)
	require.NoError(t, a.retain(arcs{whole}))
	a.narrow(arcs{near})
	assert.True(t, a.claimed(near))
	assert.True(t, a.knows(near))
	assert.False(t, a.knows(far))
	assert.False(t, a.claimed(far))
	a.learn(far, nil) // that was found out before
	assert.False(t, a.knows(far))
	a.narrow(arcs{whole})
	assert.False(t, a.knows(far), "it must look first")
	a.learn(far, nil)
	assert.True(t, a.knows(far))
	require.NoError(t, store.Close())
}

// A machine that has lost a place, and crashes before it has looked at the ring
// again, must not come back with the claim: others may have the place for long.
func TestLostPlacesStayLost(t *testing.T) {
	open := restarts(t)
	whole, near, far := arc{smallID(9), smallID(9)}, arc{smallID(4), smallID(9)}, arc{smallID(1), smallID(4)}
	store, a := open()
	a.learn(whole, nil)
	require.NoError(t, a.retain(arcs{whole}))
	a.narrow(arcs{near})
	require.NoError(t, a.settle())
	require.NoError(t, store.Close())

	store, a = open()
	assert.True(t, a.claimed(near))
	assert.False(t, a.claimed(far))
	require.NoError(t, store.Close())
}

// A machine loses a place while it makes durable that it has it.
func TestPlacesAreLostWhileTheyAreClaimed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		disk := filestore.NewMemDisk()
		store, err := filestore.Open(filestore.Options{Disk: disk, Positions: [][20]byte{{1}}})
		require.NoError(t, err)
		a, err := openAuthority(store)
		require.NoError(t, err)
		near, far := arc{smallID(4), smallID(9)}, arc{smallID(1), smallID(4)}
		a.learn(near, nil)
		a.learn(far, nil)
		release := disk.Hang()
		errs := make(chan error, 2)
		go func() { errs <- a.retain(arcs{near, far}) }()
		synctest.Wait()
		go func() {
			a.narrow(arcs{near})
			errs <- a.settle()
		}()
		synctest.Wait()
		release()
		require.NoError(t, errors.Join(<-errs, <-errs))
		a, err = openAuthority(store)
		require.NoError(t, err)
		assert.True(t, a.claimed(near))
		assert.False(t, a.claimed(far))
		require.NoError(t, store.Close())
	})
}

func TestClaimants(t *testing.T) {
	stranger := MachineID{9}
	isMember := func(m MachineID) bool { return m != stranger }
	without := func(m byte) compared { return compared{from: MachineID{m}} }
	claim := func(m byte) compared { return compared{from: MachineID{m}, claim: true} }
	for _, test := range []struct {
		name            string
		copies, members int
		own             compared
		answers         []compared
		claims, had     int
	}{
		{"a new ring", 3, 3, without(7), []compared{without(1), without(2)}, 0, 0},
		{"two of three have it", 3, 3, without(7), []compared{claim(1), claim(2)}, 2, 2},
		{"it has it and one is silent", 3, 3, claim(7), []compared{claim(1)}, 2, 3},
		{"a large ring", 3, 100, without(7), []compared{claim(1), without(2)}, 1, 3},
		{"one is silent, and alone has it", 1, 3, without(7), []compared{without(1)}, 0, 1},
		{"a disk has failed", 1, 3, without(7), []compared{without(1), {from: MachineID{2}, unsure: true}}, 0, 1},
		{"it doubts what it has", 3, 3, compared{from: MachineID{7}, unsure: true}, []compared{without(1), without(2)}, 0, 1},
		{"all it knows of and one it does not say no", 1, 3, without(7), []compared{without(1), without(9)}, 0, 1},
		{"others know of one more", 1, 3, without(7), []compared{without(1), {from: MachineID{2}, members: 4}}, 0, 1},
	} {
		claims, had := claimants(test.copies, test.members, append(test.answers, test.own), isMember)
		assert.Equal(t, test.claims, claims, test.name)
		assert.Equal(t, test.had, had, test.name)
	}
}

func TestReach(t *testing.T) {
	self := MachineID{9}
	at := func(position byte, machine byte) chord.Peer {
		return chord.Peer{ID: smallID(position), Machine: MachineID{machine}}
	}
	for _, test := range []struct {
		name string
		ring []chord.Peer
		want int
		arcs arcs
	}{
		{"alone", []chord.Peer{at(5, 9)}, 1, arcs{{smallID(5), smallID(5)}}},
		{"one of few", []chord.Peer{at(5, 9), at(2, 1), at(7, 2)}, 3, arcs{{smallID(5), smallID(5)}}},
		{"one of many", []chord.Peer{at(5, 9), at(2, 1), at(3, 2), at(7, 3)}, 2, arcs{{smallID(2), smallID(5)}}},
		{"across zero", []chord.Peer{at(5, 9), at(6, 1), at(3, 2), at(7, 3)}, 2, arcs{{smallID(7), smallID(5)}}},
		{"two positions of one machine between", []chord.Peer{at(9, 9), at(2, 1), at(4, 2), at(5, 2), at(7, 3)}, 3, arcs{{smallID(2), smallID(9)}}},
		{"two of its own", []chord.Peer{at(9, 9), at(5, 9), at(2, 1), at(3, 2), at(7, 3)}, 2,
			arcs{{smallID(2), smallID(5)}, {smallID(5), smallID(9)}}},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.arcs, reachOf(self, test.ring, test.want)) })
	}
}
