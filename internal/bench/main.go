package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
)

// options say how much work is done.
type options struct {
	program string // dhtfs
	dir     string // for everything that is written
	out     string // file for a copy of the table; empty: none
	only    string // part of the titles of the rows to run
	size    bytesFlag
	runs    int
	files   int // of the tree of small files
	stores  int // of one small file, for the latency
	nodes   int
	idle    int // seconds that the quiet ring is watched; 0: not
}

// smallFile is the size of each file of the tree.
const smallFile = 10 << 10

// bytesFlag is a number of bytes that may be written with KiB, MiB or GiB.
type bytesFlag int64

func (b *bytesFlag) String() string { return size(int64(*b)) }

func (b *bytesFlag) Set(s string) error {
	digits := strings.TrimRight(s, "KMGiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift, known := map[string]int{"": 0, "KiB": 10, "MiB": 20, "GiB": 30}[s[len(digits):]]
	if err != nil || !known || n < 1 {
		return errors.New("not a size like 64MiB")
	}
	*b = bytesFlag(n << shift)
	return nil
}

func size(n int64) string {
	for _, u := range []struct {
		name  string
		shift int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n>>u.shift > 0 && n&(1<<u.shift-1) == 0 {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

func main() {
	o := options{size: 1 << 30}
	flag.StringVar(&o.program, "dhtfs", "bin/dhtfs", "the `program` to measure")
	flag.StringVar(&o.dir, "dir", "", "work below this `directory`, on the disk to be measured (default: a temporary one)")
	flag.StringVar(&o.out, "out", "", "write the table to this `file`, too")
	flag.StringVar(&o.only, "only", "", "run only rows whose title has this `text` in it; | separates several")
	flag.Var(&o.size, "size", "`size` of the large file")
	flag.IntVar(&o.runs, "runs", 5, "rounds")
	flag.IntVar(&o.files, "files", 10000, "files in the tree of small files")
	flag.IntVar(&o.stores, "stores", 300, "stores of one small file, for the latency")
	flag.IntVar(&o.nodes, "nodes", 5, "daemons")
	flag.IntVar(&o.idle, "idle", 0, "watch a quiet ring for this many `seconds` at last")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run does all the work and writes the table to out; progress goes to talk.
func run(ctx context.Context, o options, out, talk io.Writer) (err error) {
	if o.runs < 1 || o.files < 1 || o.nodes < 3 || o.stores < 1 {
		return errors.New("at least one round, file and store, and three nodes, are needed")
	}
	if o.program, err = filepath.Abs(o.program); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "dhtfs-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{options: o, dir: dir, talk: talk}
	defer b.close()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	t := newTable()
	failed := b.measureAll(ctx, t)
	if failed != nil {
		t.note("incomplete: %v", failed)
	}
	text := t.String()
	if _, err := io.WriteString(out, text); err != nil || o.out == "" {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, os.WriteFile(o.out, []byte(text), 0o644))
}
