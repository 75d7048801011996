package watch

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mount mounts a new disk in memory at a folder of the stage, until the test ends.
func (s *stage) mount(dir string) {
	s.t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", s.path(dir)).CombinedOutput(); err != nil {
		s.t.Skipf("NOT TESTED: cannot mount a tmpfs: %s", out)
	}
	at := filepath.Clean(s.path(dir))
	s.t.Cleanup(func() { _ = exec.Command("umount", "-l", at).Run() }) // mostly done already
}

func (s *stage) unmount(dir string) {
	s.t.Helper()
	out, err := exec.Command("umount", "-l", s.path(dir)).CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

func TestAnotherDiskIsMounted(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	s.mount("")
	s.write("a", "1")
	s.write("d/b", "2")
	want := map[string]string{"a": "1", "d/b": "2"}
	s.start()
	s.settles(want)
	s.unmount("")
	s.mount("") // most likely with the device's number of the first, and with its inode
	s.write("c", "3")
	want["c"] = "3"
	s.fault(Replaced)
	s.settles(want)
	s.restart(func() {
		s.unmount("")
		s.mount("")
	})
	s.fault(Replaced)
	s.write("e", "4")
	want["e"] = "4"
	s.settles(want)
	assert.Equal(t, 1, s.status().Files)
}
