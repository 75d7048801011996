//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// mounted mounts a file system of so many bytes in memory, until the test ends.
func mounted(t *testing.T, size string) string {
	t.Helper()
	at := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", at).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: cannot mount a tmpfs: %s", out)
	}
	t.Cleanup(func() { must(t, "umount", "-l", at) })
	return at
}

// fill writes to a file until the disk is full, or has so many bytes left.
func fill(t *testing.T, path string, left int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	block := make([]byte, 4<<10)
	for {
		var st syscall.Statfs_t
		require.NoError(t, syscall.Statfs(filepath.Dir(path), &st))
		if int64(st.Bavail)*st.Bsize <= left {
			break
		}
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		}
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
}

// TestFullDisks fills real file systems: what fits nowhere is refused with
// numbers, what fits on two is stored there, and on a disk without a byte left
// deletes and reads go on.
func TestFullDisks(t *testing.T) {
	plainOnly(t)
	proctest.Tool(t, "mount", "umount")
	var disks []string
	for range 3 {
		disks = append(disks, mounted(t, "48M"))
	}
	ring := proctest.NewRing(t, 3, func(i int, n *proctest.Node) {
		n.Home, n.Flags = filepath.Join(disks[i], "home"), []string{"--min-free", "4MiB"}
	})
	ring.WaitWhole(t, ring.Nodes...)
	src := t.TempDir()
	for name, size := range map[string]int64{"old": 8 << 20, "big": 60 << 20, "medium": 16 << 20, "late": 1 << 10} {
		writeFile(t, filepath.Join(src, name), size)
	}
	at := ring.Nodes[0]
	at.Run(t, "store", filepath.Join(src, "old")).OK(t)

	proctest.Eventually(t, time.Minute, func() error { // shortly after a join a group may not have all three yet
		refused := at.Run(t, "--json", "store", filepath.Join(src, "big"))
		require.Equal(t, 8, refused.Code, "%s", refused)
		failure := refused.Failure(t)
		for _, n := range ring.Nodes {
			if !regexp.MustCompile(n.Name + `: [^;]*62914560 bytes needed, \d+ free`).MatchString(failure.Message) {
				return fmt.Errorf("%s is not in %q", n.Name, failure.Message)
			}
		}
		return nil
	})

	full := ring.Nodes[2]
	filler := filepath.Join(disks[2], "filler")
	fill(t, filler, 12<<20)
	var stored struct {
		Copies, Want int
		Lacking      []struct{ Name, ID, Message string }
	}
	for _, via := range []*proctest.Node{full, at} {
		result := via.Run(t, "--json", "store", "--force", filepath.Join(src, "medium")).OK(t)
		line := []byte(strings.Split(string(result.Stdout), "\n")[0])
		proctest.Result{Stdout: line}.JSON(t, &stored)
		if via == full {
			assert.Equal(t, 2, stored.Copies, "%s", line)
			require.Len(t, stored.Lacking, 1, "%s", line)
			assert.Equal(t, full.Name, stored.Lacking[0].Name)
			assert.Equal(t, "no_space", stored.Lacking[0].ID)
			assert.Regexp(t, `16777216 bytes needed, \d+ free`, stored.Lacking[0].Message)
		}
	}
	var space struct {
		Nodes []struct {
			Name string
			Free int64
		}
	}
	at.Run(t, "--json", "df").OK(t).JSON(t, &space)
	for _, n := range space.Nodes {
		assert.Equal(t, n.Name == full.Name, n.Free < 12<<20, "%+v", n)
	}

	fill(t, filler, 0)
	assert.NotZero(t, full.Run(t, "doctor").Code, "the doctor sees it")
	for _, n := range ring.Nodes {
		n.Run(t, "cat", "old").OK(t)
	}
	full.Run(t, "rm", "--yes", "old").OK(t)
	for _, n := range ring.Nodes {
		assert.Equal(t, 4, n.Run(t, "cat", "old").Code)
	}
	fill(t, filler, 0)
	at.Run(t, "rm", "--yes", "medium").OK(t)
	assert.NotContains(t, string(full.Run(t, "status").OK(t).Stderr), "degraded")
	require.NoError(t, os.Remove(filler))
	at.Run(t, "store", filepath.Join(src, "late")).OK(t)
	proctest.Eventually(t, time.Minute, func() error {
		if f := at.Stat(t, "late"); len(f.Durable()) < 3 {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
}

// TestFetchIntoAFullFileSystem: what has come stays, and is gone on with when there is room.
func TestFetchIntoAFullFileSystem(t *testing.T) {
	plainOnly(t)
	proctest.Tool(t, "mount", "umount")
	target := mounted(t, "12M")
	ring := proctest.NewRing(t, 3)
	src := filepath.Join(t.TempDir(), "big")
	writeFile(t, src, 8<<20)
	at := ring.Nodes[0]
	at.Run(t, "store", src).OK(t)
	filler := filepath.Join(target, "filler")
	fill(t, filler, 3<<20)
	result := at.Run(t, "fetch", "big", "-o", target)
	assert.Equal(t, 8, result.Code, "%s", result)
	assert.NoFileExists(t, filepath.Join(target, "big"))
	parts, err := filepath.Glob(filepath.Join(target, ".*"))
	require.NoError(t, err)
	require.Len(t, parts, 1)
	info, err := os.Stat(parts[0])
	require.NoError(t, err)
	assert.NotZero(t, info.Size())
	require.NoError(t, os.Remove(filler))
	at.Run(t, "fetch", "big", "-o", target).OK(t)
	want, err := os.ReadFile(src)
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(target, "big"))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got))
}

// TestLogoutFromAFullDisk: without a byte left a node hands over what it has, and leaves.
func TestLogoutFromAFullDisk(t *testing.T) {
	plainOnly(t)
	proctest.Tool(t, "mount", "umount")
	disk := mounted(t, "48M")
	ring := proctest.NewRing(t, 4, func(i int, n *proctest.Node) {
		if i == 3 {
			n.Home, n.Flags = filepath.Join(disk, "home"), []string{"--min-free", "4MiB"}
		}
	})
	full, others := ring.Nodes[3], ring.Nodes[:3]
	ring.WaitWhole(t, ring.Nodes...)
	want := storeSome(t, others[0], 40)
	fill(t, filepath.Join(disk, "filler"), 0)
	var report struct {
		Moved int
		Short []string
	}
	full.Run(t, "logout", "--timeout", "60s", "--json").OK(t).JSON(t, &report)
	assert.NotZero(t, report.Moved)
	assert.Empty(t, report.Short)
	ring.WaitWhole(t, others...)
	for name := range want {
		file := others[0].Stat(t, name)
		assert.True(t, file.Confirmed, name)
		assert.Len(t, file.Durable(), 3, name)
	}
	for _, n := range others {
		want.check(t, n)
	}
}

// TestFailingDisk has the system refuse a daemon's writes and syncs: nothing
// that it did not keep is acknowledged by it, everybody is told, what it has is
// read, and a restart ends it.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	plainOnly(t)
	proctest.Tool(t, "strace")
	ring := proctest.NewRing(t, 4)
	old := storeSome(t, ring.Nodes[0], 4)
	failures := []string{"fsync:error=EIO", "fdatasync:error=EIO", "pwrite64:error=EROFS"}
	for i, what := range failures {
		n := ring.Nodes[i]
		letGo := tampering(t, n.Daemon(t).PID, "inject="+what)
		others := ring.Except(n)
		stored := 0
		proctest.Eventually(t, time.Minute, func() error { // until something fell to it
			name := fmt.Sprintf("after %s %d", what, stored)
			stored++
			// A file, which the command can send again: the node that has just come back may not have a say yet.
			file := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(file, []byte(name), 0o600))
			others[stored%3].Run(t, "store", file, "--as", name).OK(t)
			if !strings.Contains(string(others[0].Run(t, "nodes").OK(t).Stdout), "degraded") {
				return errors.New("nobody says degraded")
			}
			return nil
		})
		status := n.Run(t, "status").OK(t)
		assert.Contains(t, string(status.Stderr), "this node is degraded", what)
		assert.NotZero(t, n.Run(t, "doctor").Code)
		old.check(t, n)
		for k := range stored {
			name := fmt.Sprintf("after %s %d", what, k)
			for _, m := range ring.Nodes {
				assert.Equal(t, name, string(m.Run(t, "cat", name).OK(t).Stdout), m.Name)
			}
		}
		put(t, n, "through it", what) // which others keep
		letGo()
		n.Run(t, "down").OK(t)
		n.Up(t)
		assert.NotContains(t, string(n.Run(t, "status").OK(t).Stderr), "degraded")
	}
}

// TestReadOnlyHome starts a daemon where nothing can be written.
func TestReadOnlyHome(t *testing.T) {
	plainOnly(t)
	proctest.Tool(t, "mount", "umount")
	at := mounted(t, "32M")
	ring := proctest.NewRing(t, 1, func(_ int, n *proctest.Node) {
		n.Home, n.Flags = filepath.Join(at, "home"), []string{"--min-free", "1MiB"}
	})
	n := ring.Nodes[0]
	n.Run(t, "down").OK(t)
	must(t, "mount", "-o", "remount,ro", at)
	for _, verb := range []string{"up", "daemon"} {
		failure := n.Run(t, "--json", verb).Failure(t)
		assert.Equal(t, 1, failure.Code)
		assert.Contains(t, failure.Message, "read-only file system")
		assert.NotEmpty(t, failure.Hint)
	}
	assert.Equal(t, 1, n.Run(t, "doctor").Code)
	must(t, "mount", "-o", "remount,rw", at)
	n.Up(t)
}
