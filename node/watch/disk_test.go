package watch

import (
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// disks has the folder see another disk whenever it is told to.
func (s *stage) disks() *atomic.Uint64 {
	disk := &atomic.Uint64{}
	s.hook = func(w *watcher) {
		is := func(string) uint64 { return disk.Load() }
		w.look.disk, w.look.tree.disk, w.publish.disk = is, is, is
	}
	return disk
}

// The topmost folder has the same inode on all disks of one kind.
func TestAnotherDiskIsAnotherFolder(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	disk := s.disks()
	disk.Store(1)
	want := map[string]string{"a": "1", "b": "2"}
	s.write("a", "1")
	s.write("b", "2")
	s.start()
	s.settles(want)
	s.restart(func() {
		disk.Store(2)
		require.NoError(t, os.Remove(s.path("a")))
	})
	s.fault(Replaced)
	s.settles(want)
	assert.Equal(t, 1, s.status().Files)
	s.restart(func() { require.NoError(t, os.Remove(s.path("b"))) }) // the same as before
	delete(want, "b")
	s.settles(want)
	assert.Empty(t, s.status().Faults)
}

// A state file of before, without the disk, counts all the same.
func TestAStateWithoutADisk(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	disk := s.disks()
	s.write("a", "1")
	s.write("b", "2")
	s.start()
	s.settles(map[string]string{"a": "1", "b": "2"})
	s.restart(func() {
		disk.Store(1)
		require.NoError(t, os.Remove(s.path("a")))
	})
	s.settles(map[string]string{"b": "2"})
	assert.Empty(t, s.status().Faults)
	s.restart(func() { // now it is known
		disk.Store(2)
		require.NoError(t, os.Remove(s.path("b")))
	})
	s.fault(Replaced)
	s.settles(map[string]string{"b": "2"})
}

func TestWhereAFolderIs(t *testing.T) {
	t.Parallel()
	at := func(device, inode, disk uint64) ground { return ground{place{device, inode}, disk} }
	for what, x := range map[string]struct {
		before, now ground
		other       bool
	}{
		"nothing known":                 {ground{}, at(1, 2, 3), false},
		"the same":                      {at(1, 2, 3), at(1, 2, 3), false},
		"another inode":                 {at(1, 2, 3), at(1, 3, 3), true},
		"another disk":                  {at(1, 2, 3), at(1, 2, 4), true},
		"under another device's number": {at(1, 2, 3), at(5, 2, 3), false},
		"after a restart":               {at(0, 2, 3), at(1, 2, 3), false},
		"of an older state":             {at(0, 2, 0), at(1, 2, 3), false},
		"nameless disks":                {at(1, 2, 0), at(5, 2, 0), true},
	} {
		assert.Equal(t, x.other, x.before.other(x.now), what)
	}
}
