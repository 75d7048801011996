package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 wherever Go runs.
const clockTick = 10 * time.Millisecond

// family returns the processes and all their descendants.
func family(pids []int) []int {
	var all []int
	for _, pid := range pids {
		all = append(all, pid)
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		var children []int
		for _, f := range strings.Fields(string(raw)) {
			var child int
			if _, err := fmt.Sscan(f, &child); err == nil {
				children = append(children, child)
			}
		}
		all = append(all, family(children)...)
	}
	return all
}

// cpuOf returns the processor time of processes, their descendants and the
// children that they have waited for; nothing where there is no /proc.
func cpuOf(pids []int) time.Duration {
	var ticks int64
	for _, pid := range family(pids) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		ticks += statTicks(raw)
	}
	return time.Duration(ticks) * clockTick
}

// statTicks adds up utime, stime, cutime and cstime of /proc/PID/stat.
func statTicks(stat []byte) int64 {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime = 14 - 3 // the first field here is the third
	if len(fields) < utime+4 {
		return 0
	}
	var sum int64
	for _, f := range fields[utime : utime+4] {
		var n int64
		_, _ = fmt.Sscan(f, &n)
		sum += n
	}
	return sum
}

// peakOf returns the peak resident set of the largest of the processes.
func peakOf(pids []int) int64 {
	var most int64
	for _, pid := range family(pids) {
		most = max(most, statusField(pid, "VmHWM:"))
	}
	return most
}

// statusField reads a size from /proc/PID/status, in bytes.
func statusField(pid int, field string) int64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, ok := strings.Cut(string(raw), field)
	var kilobytes int64
	if ok {
		_, _ = fmt.Sscan(rest, &kilobytes)
	}
	return kilobytes << 10
}
