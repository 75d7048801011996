//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestFewDescriptors runs a daemon that may open 64 files and sends it more
// connections than that: it serves on when they are gone, and its neighbours
// never notice.
func TestFewDescriptors(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	ring := proctest.NewRing(t, 4, func(i int, n *proctest.Node) {
		if i == 3 {
			n.Prefix = []string{"sh", "-c", `ulimit -n 64 && exec "$@"`, "sh"}
		}
	})
	poor := ring.Nodes[3]
	want := storeSome(t, ring.Nodes[0], 12)
	idle := crowd(t, poor.Daemon(t).Listen, 200)
	want.check(t, ring.Nodes[1])
	put(t, ring.Nodes[2], "meanwhile", "stored")
	idle()
	proctest.Eventually(t, time.Minute, func() error {
		if result := poor.Run(t, "cat", "meanwhile"); result.Code != 0 || string(result.Stdout) != "stored" {
			return fmt.Errorf("%s", result)
		}
		return nil
	})
	want.check(t, poor)
	ring.WaitWhole(t, ring.Nodes...)
}

// limitFiles sets the highest file descriptor that a running process may open,
// and returns the limit that it had.
func limitFiles(t testing.TB, pid int, most uint64) (before uint64) {
	t.Helper()
	var limit unix.Rlimit
	require.NoError(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit))
	before, limit.Cur = limit.Cur, most
	require.NoError(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil))
	return before
}

// TestNoDescriptorLeft takes the right to open any more files from a daemon that
// runs: it can accept nothing, stage nothing, read no file and call nobody. The
// others go on, and it does when it may again: it takes nothing for damaged or lost.
// A command that turns to it meanwhile is not left waiting.
func TestNoDescriptorLeft(t *testing.T) {
	t.Parallel()
	ring := proctest.NewRing(t, 4)
	poor := group(t, ring, "meanwhile")[1]
	others := ring.Except(poor)
	want := storeSome(t, others[0], 12)
	big, meanwhile := filepath.Join(t.TempDir(), "big"), filepath.Join(t.TempDir(), "meanwhile")
	writeFile(t, big, 1<<20)
	writeFile(t, meanwhile, 1<<20)
	others[0].Run(t, "store", big).OK(t)
	want["big"] = hashOfFile(t, big)

	daemon := poor.Daemon(t)
	before := limitFiles(t, daemon.PID, 8)
	idle := crowd(t, daemon.Listen, 20)
	proctest.Eventually(t, time.Minute, func() error {
		_, err := logged(poor.Log(), "accept4: too many open files")
		return err
	})
	status := proctest.Start(t, nil, nil, poor.Args("status", "--json")...)
	others[1].Run(t, "store", meanwhile).OK(t)
	want["meanwhile"] = hashOfFile(t, meanwhile)
	assert.NotContains(t, others[0].Stat(t, "meanwhile").Durable(), poor.Name, "it could not make a file")
	others[2].Kill(t) // the poor one is told by its connections, and cannot make new ones
	want.check(t, others[0])
	want.check(t, others[1])
	assert.Equal(t, "daemon_silent", status.Wait(t).Failure(t).ID)

	limitFiles(t, daemon.PID, before)
	idle()
	others[2].Up(t)
	ring.WaitWhole(t, ring.Nodes...)
	want.check(t, poor)
	proctest.Eventually(t, time.Minute, func() error {
		if f := others[0].Stat(t, "meanwhile"); len(f.Durable()) < 3 {
			return fmt.Errorf("on %v only", f.Durable())
		}
		return nil
	})
	assert.Equal(t, daemon.PID, poor.Daemon(t).PID)
	left, err := os.ReadDir(filepath.Join(poor.Home, "quarantine"))
	require.NoError(t, err)
	assert.Empty(t, left)
	poor.Run(t, "doctor").OK(t)
}
