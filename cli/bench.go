package cli

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// benchSmall is the size of each of the small files of bench.
const benchSmall = 10 << 10

// benchOptions are the flags of bench.
type benchOptions struct {
	size    byteSize
	files   int
	lookups int
	jobs    int
}

func newBenchCommand(a *app) *cobra.Command {
	o := benchOptions{size: 64 << 20}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this ring stores, fetches and looks up",
		Long: `Measure how fast this ring stores, fetches and looks up, from this node: one
large file and many small ones, of random bytes, under names of their own that
are removed again. What it shows holds for the ring as it is at that moment.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.Var(&o.size, "size", "`BYTES` of the large file")
	f.IntVar(&o.files, "files", 100, "store and fetch `N` small files")
	f.IntVar(&o.lookups, "lookups", 200, "look up `N` names")
	f.IntVarP(&o.jobs, "jobs", "j", autoJobs, "small files at once")
	return cmd
}

// benchDocument is what bench --json prints.
type benchDocument struct {
	Schema  string      `json:"schema"` // dhtfs.bench/v1
	Size    int64       `json:"size"`
	Files   int         `json:"files"`
	Results []benchLine `json:"results"`
}

// benchLine is one kind of work.
type benchLine struct {
	Work    string  `json:"work"` // lookup, store, fetch, store_small or fetch_small
	Count   int     `json:"count"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50_seconds"` // of one
	P99     float64 `json:"p99_seconds"`
}

func runBench(ctx context.Context, a *app, o benchOptions) error {
	if o.size < 1 || o.files < 1 || o.lookups < 1 || o.jobs < 1 {
		return usagef("--size, --files, --lookups and --jobs must be at least 1")
	}
	b := &bencher{client: a.client(), prefix: "dhtfs-bench/" + crand.Text() + "/"}
	defer b.client.Close()
	doc := benchDocument{Schema: "dhtfs.bench/v1", Size: int64(o.size), Files: o.files}
	large := func(int) string { return b.prefix + "large" }
	small := func(i int) string { return fmt.Sprintf("%ssmall-%06d", b.prefix, i) }
	var err error
	for _, w := range []struct {
		work        string
		count, jobs int
		bytes       int64
		do          func(i int) error
	}{
		{"lookup", o.lookups, 1, 0, func(i int) error { _, err := b.client.LocateName(ctx, small(i)); return err }},
		{"store", 1, 1, int64(o.size), func(i int) error { return b.store(ctx, large(i), int64(o.size)) }},
		{"fetch", 1, 1, int64(o.size), func(i int) error { return b.fetch(ctx, large(i)) }},
		{"store_small", o.files, o.jobs, benchSmall, func(i int) error { return b.store(ctx, small(i), benchSmall) }},
		{"fetch_small", o.files, o.jobs, benchSmall, func(i int) error { return b.fetch(ctx, small(i)) }},
	} {
		var line benchLine
		if line, err = measured(ctx, w.count, w.jobs, w.do); err != nil {
			break
		}
		line.Work, line.Bytes = w.work, w.bytes*int64(w.count)
		doc.Results = append(doc.Results, line)
	}
	if err = errors.Join(err, b.remove(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	var rows [][]string
	for _, l := range doc.Results {
		rate := fmt.Sprintf("%.0f a second", float64(l.Count)/l.Seconds)
		if l.Bytes > 0 {
			rate += ", " + speed(l.Bytes, asDuration(l.Seconds))
		}
		rows = append(rows, []string{l.Work, fmt.Sprint(l.Count), rate, fmt.Sprintf("%.1f ms", l.P50*1000), fmt.Sprintf("%.1f ms", l.P99*1000)})
	}
	return a.printTable([]string{"WORK", "COUNT", "RATE", "P50", "P99"}, rows)
}

func asDuration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// measured does count things, so many at once, and times each.
func measured(ctx context.Context, count, most int, do func(i int) error) (benchLine, error) {
	each := make([]float64, count)
	var mu sync.Mutex
	var failed error
	all := newJobs(most)
	start := time.Now()
	for i := range count {
		if !all.run(ctx, false, func() {
			begun := time.Now()
			err := do(i)
			each[i] = time.Since(begun).Seconds()
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		}) {
			break
		}
	}
	all.wait()
	line := benchLine{Count: count, Seconds: time.Since(start).Seconds()}
	slices.Sort(each)
	line.P50, line.P99 = each[count/2], each[count*99/100]
	return line, errors.Join(ctx.Err(), failed)
}

// bencher stores and fetches what bench measures.
type bencher struct {
	client *api.Client
	prefix string

	mu     sync.Mutex
	stored []string
}

func (b *bencher) store(ctx context.Context, name string, size int64) error {
	seed := [32]byte{}
	_, _ = crand.Read(seed[:]) // never fails
	b.mu.Lock()
	b.stored = append(b.stored, name)
	b.mu.Unlock()
	content := io.LimitReader(rand.NewChaCha8(seed), size)
	if size <= benchSmall {
		raw, _ := io.ReadAll(content) // never fails
		content = bytes.NewReader(raw)
	}
	_, err := b.client.Store(ctx, name, content, node.StoreOptions{Size: size, IfExists: node.Replace})
	return err
}

func (b *bencher) fetch(ctx context.Context, name string) error {
	content, err := b.client.Fetch(ctx, name, node.FetchOptions{})
	if err != nil {
		return err
	}
	check := newSum()
	_, err = io.Copy(check, content)
	if err == nil && !check.is(content.File.SHA256) {
		err = damaged(name)
	}
	return errors.Join(err, content.Close())
}

// remove deletes what was stored, as far as it came to be.
func (b *bencher) remove(ctx context.Context) error {
	var errs []error
	for _, name := range b.stored {
		stat, err := b.client.Stat(ctx, name)
		if err == nil {
			err = b.client.Delete(ctx, name, node.NewOp(), stat.Changes)
		}
		if !errors.Is(err, node.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
