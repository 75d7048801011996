package node_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
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
	brokenSize = 24 * filestore.ChunkSize
	brokenAt   = 16 * filestore.ChunkSize // some of that is still on its way when it breaks off
	brokenRest = 14 * filestore.ChunkSize // so much is sent at most afterwards
)

var errBrokeOff = errors.New("the reader broke off")

// breaking reads content up to a point, calls event there and fails.
func breaking(content []byte, at int, event func()) io.Reader {
	return io.MultiReader(bytes.NewReader(content[:at]), &failing{event})
}

type failing struct{ event func() }

func (f *failing) Read([]byte) (int, error) {
	time.Sleep(time.Second) // what was read before has arrived
	f.event()
	return 0, errBrokeOff
}

// stranger is a name, and a member that is not in its group.
func stranger(t *testing.T, r *ringtest.Ring) (name string, by *ringtest.Member, group []*ringtest.Member) {
	name = "large"
	group = groupOf(t, r, name)
	return name, r.Others(group...)[0], group
}

// What all voters have of a store that broke off is not sent again, neither to the
// coordinator nor from there, whether the same operation tries again or another.
func TestBrokenStoreGoesOn(t *testing.T) {
	content := noise(1, brokenSize)
	changed := slices.Clone(content)
	changed[5*filestore.ChunkSize]++
	type again struct {
		name    string
		content []byte
		newOp   bool
		least   int64 // bytes sent to the coordinator
		most    int64
	}
	cases := []again{
		{"changed at an early chunk", changed, true, 19 * filestore.ChunkSize, 20 * filestore.ChunkSize},
		{"shorter than what is there", content[:brokenAt], true, 0, brokenRest - 8*filestore.ChunkSize},
		{"the same", content, false, brokenSize - brokenAt, brokenRest},
		{"by another operation", content, true, brokenSize - brokenAt, brokenRest},
	}
	for _, c := range bubble.Some(cases, 2) {
		t.Run(c.name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				name, by, group := stranger(t, r)
				o := node.StoreOptions{Op: node.NewOp(), Size: brokenSize}
				_, err := by.Store(t.Context(), name, breaking(content, brokenAt, func() {}), o)
				require.ErrorIs(t, err, errBrokeOff)
				time.Sleep(time.Second)
				first, other := r.Net.Sent(by.Host, group[0].Host), r.Net.Sent(group[0].Host, group[1].Host)
				if c.newOp {
					o.Op = node.NewOp()
				}
				o.Size = int64(len(c.content))
				r.Store(by, name, c.content, o)
				for _, sent := range []int64{r.Net.Sent(by.Host, group[0].Host) - first, r.Net.Sent(group[0].Host, group[1].Host) - other} {
					assert.GreaterOrEqual(t, sent, c.least)
					assert.Less(t, sent, c.most+filestore.ChunkSize/2)
				}
			})
		})
	}
}

// The next coordinator sends nothing that a voter has from the one that died.
func TestBrokenStoreGoesOnWithoutItsCoordinator(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, brokenSize)
		name, by, group := stranger(t, r)
		o := node.StoreOptions{Op: node.NewOp(), Size: brokenSize}
		_, err := by.Store(t.Context(), name, breaking(content, brokenAt, func() { r.Crash(group[0]) }), o)
		require.Error(t, err)
		var before int64
		r.Eventually(time.Minute, "the store goes through", func() bool {
			before = r.Net.Sent(group[1].Host, group[2].Host)
			_, err := by.Store(t.Context(), name, bytes.NewReader(content), o)
			return err == nil
		})
		assert.Less(t, r.Net.Sent(group[1].Host, group[2].Host)-before, int64(brokenRest))
		r.Acknowledged(name, content)
		r.Start(group[0])
		r.Whole(5 * time.Minute)
	})
}

// What has not come of a store that broke off takes no room, and who goes on with it
// is told at once when there is not enough.
func TestPartsKeepNoRoom(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 1}, func(t *testing.T, r *ringtest.Ring) {
		m := r.Members[0]
		content := noise(1, brokenSize)
		free := func() int64 { return m.Members(t.Context())[0].Free }
		m.Disk.SetCapacity(3 << 30)
		before := free()
		o := node.StoreOptions{Op: node.NewOp(), Size: before * 3 / 4}
		_, err := m.Store(t.Context(), "large", breaking(content, brokenAt, func() {}), o)
		require.ErrorIs(t, err, errBrokeOff)
		time.Sleep(time.Second)
		assert.Len(t, m.Disk.Leftovers(), 1)
		assert.Equal(t, before-brokenAt, free())
		o.Size = before * 2
		_, err = m.Store(t.Context(), "large", bytes.NewReader(content), o)
		require.ErrorIs(t, err, filestore.ErrNoSpace)
		assert.Equal(t, before, free())
		r.Store(m, "large", content, node.StoreOptions{})
	})
}

// Parts of more stores than are kept, and those that nobody comes back for, go:
// Check, at the end of every test, finds no temporary files after a while.
func TestPartsAreBounded(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 1}, func(t *testing.T, r *ringtest.Ring) {
		m := r.Members[0]
		for i := range 10 {
			o := node.StoreOptions{Op: node.NewOp(), Size: brokenSize}
			_, err := m.Store(t.Context(), string(rune('a'+i)), breaking(noise(1, brokenAt), brokenAt, func() {}), o)
			require.ErrorIs(t, err, errBrokeOff)
		}
		time.Sleep(time.Second) // the last one is given up
		assert.Len(t, m.Disk.Leftovers(), 8)
	})
}
