package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// table is the result of a run.
type table struct {
	head  []string
	lines [][]string
	notes []string
}

func newTable() *table {
	return &table{head: []string{"work", "by", "median", "range", "ratio", "to", "CPU", "memory"}}
}

// add appends a line for one contender of a row.
func (t *table) add(title, name string, samples []sample, reference string, against []sample) {
	wall := func(s sample) time.Duration { return s.wall }
	walls := each(samples, wall)
	line := []string{
		title, name, seconds(median(walls)), seconds(quantile(walls, 0)) + "–" + seconds(quantile(walls, 1)), "", "",
		seconds(median(each(samples, func(s sample) time.Duration { return s.cpu }))),
		mebibytes(quantile(each(samples, func(s sample) int64 { return s.memory }), 1)),
	}
	if reference != "" && reference != name && len(against) > 0 {
		line[4], line[5] = fmt.Sprintf("%.2f", ratio(samples, against)), reference
	}
	t.lines = append(t.lines, line)
}

// note appends a line below the table.
func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func mebibytes(n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}

// String is the table in columns that are also Markdown.
func (t *table) String() string {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 1, ' ', 0)
	rule := make([]string, len(t.head))
	for i, h := range t.head {
		rule[i] = strings.Repeat("-", len(h))
	}
	title := ""
	for _, line := range append([][]string{t.head, rule}, t.lines...) {
		if line[0] == title {
			line = append([]string{""}, line[1:]...)
		} else {
			title = line[0]
		}
		fmt.Fprintf(w, "| %s\t|\n", strings.Join(line, "\t| "))
	}
	_ = w.Flush() // to memory
	out.WriteByte('\n')
	for _, n := range t.notes {
		fmt.Fprintln(&out, n)
	}
	return out.String()
}

// machine says where a table was made.
func machine() string {
	s := fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		s += ", load " + strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return s
}
