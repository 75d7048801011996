//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

// assault does everything at once while members fetch, and compares how fast they
// are with how fast they are in peace. Who attacks, who is attacked and who fetches
// share the machine's processors, and nothing is deducted for what the attackers
// compute themselves. Whatever else may differ is kept the same:
//
//   - Peace and war alternate, so that what changes slowly is in both.
//   - The first fetches of each are made and logged, but not counted: after a pause
//     they take up to twice as long in peace, too, where a virtual machine has to
//     ask its host for the memory that it gave back.
//   - What was fetched is removed, so that no fetch waits until the files of those
//     before it have been written to the disk.
//
// The medians of all others are compared.
func (s *siege) assault(t *testing.T, quick, lasting []attack, files shelf) {
	rounds, fetches := 1, 1
	if full() {
		rounds, fetches = 5, 3
	}
	var peace, war sample
	for range rounds {
		peace.take(t, s, files, fetches)
		stop := s.attackAll(t, quick, lasting)
		war.take(t, s, files, fetches)
		stop()
	}
	ratio := peace.median().Seconds() / war.median().Seconds()
	t.Logf("members' fetches in peace: %v (first ones %v)", slices.Sorted(slices.Values(peace.next)), peace.first)
	t.Logf("members' fetches under attack: %v (first ones %v)", slices.Sorted(slices.Values(war.next)), war.first)
	t.Logf("medians of %v and %v: %.0f %% of the rate", peace.median(), war.median(), 100*ratio)
	if full() && !raceDetector {
		assert.GreaterOrEqual(t, ratio, 0.5)
	}
}

// sample is how long fetches took: the first ones after a pause, and those that
// followed without one.
type sample struct{ first, next []time.Duration }

// take fetches once, and then n times more.
func (m *sample) take(t *testing.T, s *siege, files shelf, n int) {
	m.first = append(m.first, s.load(t, files))
	for range n {
		m.next = append(m.next, s.load(t, files))
	}
}

// median is the median of those that are counted, whose number is odd.
func (m *sample) median() time.Duration {
	return slices.Sorted(slices.Values(m.next))[len(m.next)/2]
}

// load fetches all files through the attacked node and one of its neighbours at
// the same time, twice, and returns how long that took.
func (s *siege) load(t *testing.T, files shelf) time.Duration {
	dir := t.TempDir()
	start := time.Now()
	for i := range 2 {
		var fetches []*proctest.Command
		for _, n := range s.ring.Nodes[:2] {
			target := filepath.Join(dir, n.Name+strconv.Itoa(i)) + "/"
			args := append([]string{"fetch", "--quiet", "--progress", "off", "-o", target, "--"}, files.names()...)
			fetches = append(fetches, proctest.Start(t, nil, nil, n.Args(args...)...))
		}
		for _, f := range fetches {
			f.Wait(t).OK(t)
		}
	}
	took := time.Since(start)
	require.NoError(t, os.RemoveAll(dir))
	return took.Round(time.Millisecond)
}

// attackAll begins every attack at once and returns when the target is full of
// silent connections. They go on until stop is called, which logs how strong they
// were meanwhile, and what they cost either side. Four attackers go through the
// quick attacks, each from another one on, ten a second; others do each of those
// that last again and again.
func (s *siege) attackAll(t *testing.T, quick, lasting []attack) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	started, silent := s.flood(ctx, t, &busy)
	begun, answered := s.storm(ctx, t, &busy)
	var tried atomic.Int64
	for worker := range 4 {
		busy.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond) // the attackers compute on the same machine
			defer tick.Stop()
			for i := worker * len(quick) / 4; ctx.Err() == nil; i++ {
				<-tick.C
				unheeded(t, func(t testing.TB) { _ = quick[i%len(quick)].do(t, s) })
				tried.Add(1)
			}
		})
	}
	for _, a := range lasting {
		busy.Go(func() {
			for ctx.Err() == nil {
				unheeded(t, func(t testing.TB) { _ = a.do(t, s) })
			}
		})
	}
	<-started
	before := []int64{silent.Load(), begun.Load(), answered.Load(), tried.Load()}
	start, own, attacked := time.Now(), ownCPU(t), s.target.CPU(t)
	return func() {
		seconds := time.Since(start).Seconds()
		since := func(i int, n *atomic.Int64) float64 { return float64(n.Load()-before[i]) / seconds }
		t.Logf("for %.1f s there were %.0f silent connections, %.0f handshakes, of which %.0f were answered, and %.0f other attacks a second; "+
			"the attackers took %.2f of a processor, %s %.2f", seconds, since(0, silent), since(1, begun), since(2, answered), since(3, &tried),
			(ownCPU(t)-own).Seconds()/seconds, s.target.Name, (s.target.CPU(t)-attacked).Seconds()/seconds)
		cancel()
		busy.Wait()
	}
}

// ownCPU is what this process, which is the attackers, has computed so far.
func ownCPU(t *testing.T) time.Duration {
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
