//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// must runs a system's command.
func must(t testing.TB, line ...string) {
	t.Helper()
	out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
	require.NoError(t, err, "%s: %s", strings.Join(line, " "), out)
}

// unmount waits until nothing uses a mounted file system any more: a daemon that
// was stopped is done with its files a moment before its process has ended.
func unmount(t testing.TB, at string) {
	t.Helper()
	proctest.Eventually(t, 20*time.Second, func() error {
		out, err := exec.Command("umount", at).CombinedOutput()
		if err != nil {
			return fmt.Errorf("umount: %s", out)
		}
		return nil
	})
}

// TestPowerLoss takes images of the disk of a daemon in the middle of storing,
// as a power failure leaves it, and starts the daemon from each: everything that
// had been acknowledged when the image was taken is there. The ring has one node,
// so that nobody else can help out.
func TestPowerLoss(t *testing.T) {
	plainOnly(t)
	proctest.Tool(t, "mkfs.ext4", "fsck.ext4", "mount", "umount")
	images := 2
	if proctest.Long() {
		images = 30
	}
	dir := t.TempDir()
	disk, at := filepath.Join(dir, "disk"), filepath.Join(dir, "mounted")
	require.NoError(t, os.Mkdir(at, 0o700))
	must(t, "truncate", "-s", "32M", disk)
	must(t, "mkfs.ext4", "-q", disk)
	if out, err := exec.Command("mount", "-o", "loop", disk, at).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: cannot mount an image: %s", out)
	}
	t.Cleanup(func() { unmount(t, at) })
	ring := proctest.NewRing(t, 1, func(_ int, n *proctest.Node) {
		n.Home, n.Flags = filepath.Join(at, "home"), []string{"--min-free", "1MiB"}
	})
	node := ring.Nodes[0]
	pid := node.Daemon(t).PID

	var mu sync.Mutex
	acked, begun := map[string]int{}, map[string]int{}
	text := func(name string, version int) string {
		return fmt.Sprintf("%s, version %d, %0*d", name, version, 1+version*997%30_000, 0)
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); writers.Wait() })
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT); end() })
	for w := range 3 {
		writers.Go(func() {
			for version := 1; ; version++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("by writer %d/%d", w, version%5)
				mu.Lock()
				begun[name] = version
				mu.Unlock()
				result := proctest.Start(t, strings.NewReader(text(name, version)), nil,
					node.Args("store", "-", "--as", name, "--force")...).Wait(t)
				if !assert.Zero(t, result.Code, "%s", result) {
					return
				}
				mu.Lock()
				acked[name] = version
				mu.Unlock()
			}
		})
	}
	type image struct {
		path         string
		acked, begun map[string]int
	}
	var taken []image
	for i := range images {
		proctest.Eventually(t, time.Minute, func() error {
			mu.Lock()
			defer mu.Unlock()
			if versions := slices.Max(append(slices.Collect(maps.Values(acked)), 0)); versions < 5*(i+1) {
				return fmt.Errorf("only %d versions are stored yet", versions)
			}
			return nil
		})
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
		mu.Lock() // what was acknowledged until now was on the disk before
		shot := image{path: fmt.Sprintf("%s.%d", disk, i), acked: maps.Clone(acked), begun: maps.Clone(begun)}
		mu.Unlock()
		must(t, "cp", "--sparse=always", disk, shot.path)
		require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
		taken = append(taken, shot)
	}
	end()
	node.Run(t, "down").OK(t)

	for i, shot := range taken {
		unmount(t, at)
		must(t, "fsck.ext4", "-p", shot.path)
		must(t, "mount", "-o", "loop", shot.path, at)
		node.Up(t)
		for name, version := range shot.acked {
			got := string(node.Run(t, "cat", name).OK(t).Stdout)
			var allowed []string
			for v := version; v <= shot.begun[name]; v += 5 {
				allowed = append(allowed, text(name, v))
			}
			assert.Contains(t, allowed, got, "%s in image %d", name, i)
		}
		assert.Empty(t, node.Temporaries(t))
		node.Run(t, "verify").OK(t)
		node.Run(t, "down").OK(t)
		t.Logf("image %d: %d names are there", i, len(shot.acked))
	}
}
