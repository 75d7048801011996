//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// steps are the system calls that a store, a hand-off or a repair makes on its
// way to a durable copy. The daemon is killed as it enters one.
var steps = []struct {
	call string
	when []int
}{
	{"openat", []int{6, 20}},
	{"fsync", []int{1, 2, 3, 4}},
	{"fdatasync", []int{1, 2, 4}},
	{"fsetxattr", []int{1, 2}},
	{"renameat,renameat2", []int{1, 2}},
	{"unlinkat", []int{1}},
}

// tampering has strace do something to a process's system calls, until it is told
// to let go.
func tampering(t *testing.T, pid int, how ...string) (letGo func()) {
	t.Helper()
	args := []string{"-f", "-q", "-o", filepath.Join(t.TempDir(), "strace"), "-p", fmt.Sprint(pid)}
	for _, expression := range how {
		args = append(args, "-e", expression)
	}
	cmd := exec.Command("strace", args...)
	require.NoError(t, cmd.Start())
	proctest.Eventually(t, 10*time.Second, func() error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && strings.Contains(string(status), "TracerPid:\t0\n") {
			return errors.New("not traced yet")
		}
		return nil
	})
	return func() {
		// Told to end while the process is dying, strace may wait for it for ever;
		// the kernel lets go of what a killed tracer has held.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
	}
}

// TestKilledAtEachStep kills a holder of a name at one step after the other of
// storing it. Afterwards there is the old version or the new one, whole, and no
// temporary file.
func TestKilledAtEachStep(t *testing.T) {
	plainOnly(t)
	proctest.Tool(t, "strace")
	ring := proctest.NewRing(t, 4)
	const name = "step by step"
	allowed := []string{"the first version"}
	put(t, ring.Nodes[0], name, allowed[0])
	killed, reached := 0, map[string]int{}
	for _, step := range steps {
		when := step.when
		if !proctest.Long() {
			when = when[:1]
		}
		for _, k := range when {
			victim := group(t, ring, name)[0]
			via := ring.Except(victim)[0]
			letGo := tampering(t, victim.Daemon(t).PID,
				"trace="+step.call, fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", step.call, k))
			text := fmt.Sprintf("the version of %s %d", step.call, k)
			result := proctest.Start(t, strings.NewReader(text), nil, via.Args("store", "-", "--as", name, "--force")...).Wait(t)
			if result.Code == 0 {
				allowed = []string{text}
			} else {
				allowed = append(allowed, text)
			}
			letGo()
			if !victim.Running() {
				killed++
				reached[step.call]++
				left := victim.Temporaries(t)
				victim.Up(t)
				for _, temporary := range victim.Temporaries(t) {
					assert.NotContains(t, left, temporary, "%s has just started", victim.Name)
				}
			}
			for _, n := range ring.Nodes {
				assert.Contains(t, allowed, string(n.Run(t, "cat", name).OK(t).Stdout), "%s after %s %d", n.Name, step.call, k)
			}
		}
	}
	t.Logf("killed %d times: %v", killed, reached)
	assert.NotZero(t, reached["fsync"])
	assert.NotZero(t, reached["fdatasync"])
	ring.WaitWhole(t, ring.Nodes...)
}
