//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// sysCall is one system call, counted from when a process is first looked at.
type sysCall struct {
	call string
	when int
}

// killing has a process killed as it enters a system call.
func killing(t *testing.T, n *proctest.Node, step sysCall) (letGo func()) {
	t.Helper()
	return tampering(t, n.Daemon(t).PID, "trace="+step.call, fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", step.call, step.when))
}

// stepsOr are all steps in the long form, else those given.
func stepsOr(short ...sysCall) []sysCall {
	if !proctest.Long() {
		return short
	}
	var l []sysCall
	for _, s := range steps {
		for _, k := range s.when {
			l = append(l, sysCall{s.call, k})
		}
	}
	return l
}

// startedClean starts a daemon that was killed. Its temporary files are gone then.
func startedClean(t *testing.T, n *proctest.Node) {
	t.Helper()
	left := n.Temporaries(t)
	n.Up(t)
	for _, temporary := range n.Temporaries(t) {
		assert.NotContains(t, left, temporary, "%s has just started", n.Name)
	}
}

// TestKilledAtEachStepOfAHandOff kills a node that logs out, or one that takes over
// from it, at one step after the other, and starts it again. Whatever became of the
// logout, every file is there, whole and confirmed.
func TestKilledAtEachStepOfAHandOff(t *testing.T) {
	t.Parallel()
	plainOnly(t)
	proctest.Tool(t, "strace")
	ring := proctest.NewRing(t, 4)
	want := storeSome(t, ring.Nodes[0], 6)
	large := strings.Repeat("large ", 40<<10)
	put(t, ring.Nodes[0], "large", large)
	members, leaver := slices.Clone(ring.Nodes[:3]), ring.Nodes[3]
	killed := map[string]int{}
	steps := map[string][]sysCall{
		"leaver": stepsOr(sysCall{"fdatasync", 2}, sysCall{"unlinkat", 1}),
		"heir":   stepsOr(sysCall{"fsync", 1}),
	}
	there := ring.Nodes
	for _, who := range []string{"leaver", "heir"} {
		for _, step := range steps[who] {
			if leaver == nil {
				leaver = ring.Join(t)
			}
			victim := leaver
			if who == "heir" {
				victim = members[1]
			}
			letGo := killing(t, victim, step)
			logout := proctest.Start(t, nil, nil, leaver.Args("logout", "--timeout", "30s")...)
			proctest.Eventually(t, 3*time.Minute, func() error {
				if victim.Running() && leaver.Running() {
					return errors.New("under way")
				}
				return nil
			})
			letGo()
			if !victim.Running() && victim != leaver {
				killed[who]++
				startedClean(t, victim)
			}
			result := logout.Wait(t)
			switch {
			case result.Code == 0: // it has left
				leaver = nil
			case leaver.Running(): // it could not, and says so
			case leaver.Run(t, "up").Code == 0: // it was killed, and is a member still
				killed["leaver"]++
				leaver.WaitReady(t)
			default: // it was killed when it had left
				killed["leaver"]++
				leaver = nil
			}
			there = members
			if leaver != nil {
				there = append(slices.Clone(members), leaver)
			}
			for _, n := range there {
				want.check(t, n)
				got := n.Run(t, "cat", "-r", "2", "large").OK(t)
				assert.Equal(t, large, string(got.Stdout), "%s after %v at the %s", n.Name, step, who)
			}
		}
	}
	t.Logf("killed: %v", killed)
	assert.NotZero(t, killed["leaver"])
	assert.NotZero(t, killed["heir"])
	ring.WaitWhole(t, there...)
}

// TestKilledAtEachStepOfARepair kills a node at one step after the other of putting
// a damaged copy right. The damage is never given out, and gone in the end.
func TestKilledAtEachStepOfARepair(t *testing.T) {
	t.Parallel()
	plainOnly(t)
	proctest.Tool(t, "strace")
	ring := proctest.NewRing(t, 3)
	victim := ring.Nodes[1]
	const name = "repaired step by step"
	text := strings.Repeat("what is stored ", 20<<10)
	put(t, ring.Nodes[0], name, text)
	killed := map[string]int{}
	for _, step := range stepsOr(sysCall{"fsync", 1}, sysCall{"fdatasync", 1}, sysCall{"renameat,renameat2", 1}) {
		damage(t, victim, name)
		letGo := killing(t, victim, step)
		victim.Run(t, "verify", "--repair", name)
		letGo()
		if !victim.Running() {
			killed[step.call]++
			startedClean(t, victim)
		}
		for _, n := range ring.Nodes {
			assert.Equal(t, text, string(n.Run(t, "cat", name).OK(t).Stdout), "%s after %v", n.Name, step)
		}
		proctest.Eventually(t, time.Minute, func() error {
			if result := victim.Run(t, "verify", "--repair", name); result.Code != 0 {
				return errors.New(result.String())
			}
			if !slices.Contains(victim.Stat(t, name).Durable(), victim.Name) {
				return errors.New("no good copy yet")
			}
			return nil
		})
	}
	t.Logf("killed: %v", killed)
	for _, call := range []string{"fsync", "fdatasync", "renameat,renameat2"} {
		assert.NotZero(t, killed[call], "never killed as it enters %s", call)
	}
}

// damage flips a byte of a node's copy of a file.
func damage(t *testing.T, n *proctest.Node, name string) {
	t.Helper()
	for _, path := range n.Files(t) {
		if filepath.Base(path) != name {
			continue
		}
		f, err := os.OpenFile(filepath.Join(n.Home, "files", path), os.O_RDWR, 0)
		require.NoError(t, err)
		var b [1]byte
		_, err = f.ReadAt(b[:], 1000)
		require.NoError(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b[:], 1000)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		return
	}
	require.FailNow(t, "no copy to damage")
}
