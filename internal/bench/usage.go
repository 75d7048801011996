package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// sample is what one contender took for one piece of work.
type sample struct {
	wall   time.Duration
	cpu    time.Duration
	memory int64 // bytes, the peak of the largest process
}

// usage adds up what the commands of one piece of work took.
type usage struct {
	mu     sync.Mutex
	cpu    time.Duration
	memory int64
}

func (u *usage) add(cpu time.Duration, memory int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cpu += cpu
	u.memory = max(u.memory, memory)
}

// command runs a program to its end and counts what it took.
func (u *usage) command(ctx context.Context, argv ...string) error {
	_, err := u.output(ctx, argv...)
	return err
}

// output is command, and returns what was written to standard output.
func (u *usage) output(ctx context.Context, argv ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Start()
	if err == nil {
		peak := watchPeak(cmd.Process.Pid)
		err = cmd.Wait()
		u.add(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), peak())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// environment is this process's without settings of dhtfs, but for those that
// make a test binary play dhtfs.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DHTFS_") || strings.HasPrefix(v, "DHTFS_PROCTEST_") {
			env = append(env, v)
		}
	}
	return append(env, "DHTFS_PROGRESS=off")
}

// watchPeak looks at a process's peak memory until the function that it returns
// is called, which returns the last figure seen. What the system says of a process
// that has ended will not do: it begins with what its parent had.
func watchPeak(pid int) (last func() int64) {
	stop, seen := make(chan struct{}), make(chan int64, 1)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var most int64
		for {
			select {
			case <-tick.C:
				most = max(most, peakOf([]int{pid}))
			case <-stop:
				seen <- most
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-seen
	}
}

// settleTime is how long a server may take to end the processes that it began.
const settleTime = 2 * time.Second

// measure times f and counts its commands and the servers, with their children.
func measure(servers []int, f func(*usage) error) (sample, error) {
	var u usage
	before, processes := cpuOf(servers), len(family(servers))
	start := time.Now()
	err := f(&u)
	wall := time.Since(start)
	for len(family(servers)) > processes && time.Since(start) < wall+settleTime {
		time.Sleep(5 * time.Millisecond) // what is not waited for yet is not counted yet
	}
	return sample{wall: wall, cpu: u.cpu + cpuOf(servers) - before, memory: max(u.memory, peakOf(servers))}, err
}
