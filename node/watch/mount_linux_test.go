package watch

import (
	"os"
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

// What was on a disk below the folder is not deleted when that goes, nor is what
// a disk hides that is mounted over it.
func TestADiskBelowComesAndGoes(t *testing.T) {
	t.Parallel()
	s := newStage(t, Folder{OnDelete: Remove})
	want := map[string]string{"file": "1", "usb/below": "2", "usb/d/below": "3", "usb/a": "4", "usb/d/b": "5", "usb/gone": "6", "usb/e/gone": "7"}
	s.write("usb/below", "2")
	s.write("usb/d/below", "3")
	s.write("file", "1")
	s.start()
	s.settles(map[string]string{"file": "1", "usb/below": "2", "usb/d/below": "3"})
	s.restart(func() {
		s.mount("usb")
		for _, name := range []string{"usb/a", "usb/d/b", "usb/gone", "usb/e/gone"} {
			s.write(name, want[name])
		}
	})
	s.settles(want)
	require.NoError(t, os.Remove(s.path("usb/gone")))
	require.NoError(t, os.RemoveAll(s.path("usb/e")))
	delete(want, "usb/gone")
	delete(want, "usb/e/gone")
	s.settles(want)

	s.restart(func() { s.unmount("usb") })
	s.settles(want)
	assert.Equal(t, 3, s.status().Files)
	require.NoError(t, os.Remove(s.path("usb/below")))
	delete(want, "usb/below")
	s.settles(want)
	s.restart(func() { s.mount("usb") }) // another one
	s.write("usb/c", "8")
	want["usb/c"] = "8"
	s.settles(want)
	s.unmount("usb")                                                      // while it is looked at
	s.restart(func() { require.NoError(t, os.RemoveAll(s.path("usb"))) }) // with what it has hidden
	s.write("marker", "9")
	want["marker"] = "9"
	s.settles(want)
	assert.Equal(t, 2, s.status().Files)
}
