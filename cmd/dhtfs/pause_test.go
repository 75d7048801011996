//go:build unix

package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// TestPaused stops the process of a name's owner for a while and lets it go on:
// meanwhile the others serve and change the name, and when it is back it never
// gives out the version that it slept through. The long form pauses a minute.
func TestPaused(t *testing.T) {
	plainOnly(t)
	t.Parallel()
	pause := 8 * time.Second
	if proctest.Long() {
		pause = time.Minute
	}
	ring := proctest.NewRing(t, 5)
	const name = "paused"
	put(t, ring.Nodes[0], name, "before")
	sleeper := group(t, ring, name)[0]
	others := ring.Except(sleeper)
	pid := sleeper.Daemon(t).PID
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	stopped := time.Now()
	resume := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(resume)
	assert.Equal(t, "before", string(others[0].Run(t, "cat", name).OK(t).Stdout))
	put(t, others[1], name, "after")
	for _, n := range others {
		assert.Equal(t, "after", string(n.Run(t, "cat", name).OK(t).Stdout), n.Name)
	}
	t.Logf("stored and fetched without it within %v", time.Since(stopped))
	time.Sleep(time.Until(stopped.Add(pause))) // the length of the fault
	resume()
	neverOld(t, sleeper, name, "after")
	ring.WaitWhole(t, ring.Nodes...)
}
