package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// quiet watches daemons that nobody asks for anything.
func (b *bench) quiet(ctx context.Context, t *table) error {
	b.say("watching the quiet ring for %d s", b.idle)
	start, cpu, moved := time.Now(), cpuOf(b.ring.pids), b.moved()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(b.idle) * time.Second):
	}
	passed, daemons := time.Since(start).Seconds(), float64(len(b.ring.pids))
	var resident int64
	for _, pid := range b.ring.pids {
		resident = max(resident, statusField(pid, "VmRSS:"))
	}
	t.note("quiet, each of %d daemons over %.0f s: %.2f %% of a core, %.2f KB/s read and written, at most %s resident",
		len(b.ring.pids), passed, (cpuOf(b.ring.pids)-cpu).Seconds()/passed/daemons*100,
		float64(b.moved()-moved)/passed/daemons/1000, mebibytes(resident))
	return nil
}

// moved counts the bytes that the daemons have read and written so far, by
// whatever descriptor: sockets and files.
func (b *bench) moved() int64 {
	var sum int64
	for _, pid := range b.ring.pids {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		for _, field := range []string{"rchar:", "wchar:"} {
			var n int64
			if _, rest, ok := strings.Cut(string(raw), field); ok {
				_, _ = fmt.Sscan(rest, &n)
			}
			sum += n
		}
	}
	return sum
}
