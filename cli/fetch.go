package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// fetchOptions are the flags of fetch.
type fetchOptions struct {
	output   string
	conflict string
	quorum   int
	offset   int64
	length   positive
	jobs     int
	fsync    bool
	retry    time.Duration
}

// AddFlags declares the flags on f.
func (o *fetchOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", ".", "`DIR|FILE|-` to fetch to; - is standard output")
	f.StringVar(&o.conflict, "conflict", "fail", "when another file is there already: fail, skip, overwrite or rename")
	f.BoolVar(&o.fsync, "fsync", false, "do not end before the files are safe on disk")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "fetch this many files at once (default: 4 large ones, or some hundred small ones)")
	o.addContentFlags(f)
}

// addContentFlags declares the flags that cat has, too.
func (o *fetchOptions) addContentFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.quorum, "read-quorum", "r", 0, "1: take the first holder's word for what the newest version is; more: that many nodes must agree on it")
	f.Int64Var(&o.offset, "offset", 0, "leave out the first `N` bytes")
	f.Var(&o.length, "length", "fetch at most `N` bytes")
	f.DurationVar(&o.retry, "retry", retryTime, "go on trying for this `TIME` while too few nodes answer")
	_ = f.MarkHidden("retry")
}

func (o *fetchOptions) validate() error {
	switch {
	case !slices.Contains([]string{"fail", "skip", "overwrite", "rename"}, o.conflict):
		return usagef("--conflict: %q is not one of fail, skip, overwrite, rename", o.conflict)
	case o.offset < 0 || o.quorum < 0:
		return usagef("--offset and --read-quorum cannot be less than zero")
	case o.jobs < 0:
		return usagef("--jobs cannot be less than zero")
	case o.output == "":
		return usagef("--output is empty")
	}
	return nil
}

// query is what the node is asked for, beginning after the bytes that are here.
func (o *fetchOptions) query(have int64) node.FetchOptions {
	q := node.FetchOptions{Offset: o.offset + have, Quorum: o.quorum}
	if o.length > 0 {
		q.Length = int64(o.length) - have
	}
	return q
}

// partial reports whether only a part of the file is wanted.
func (o *fetchOptions) partial() bool { return o.offset > 0 || o.length > 0 }

func newFetchCommand(a *app) *cobra.Command {
	var o fetchOptions
	cmd := &cobra.Command{
		Use:     "fetch NAME|GLOB|FOLDER/...",
		Aliases: []string{"get"},
		Short:   "Fetch files from the ring",
		Args:    takes(1, noLimit),
		RunE:    func(cmd *cobra.Command, args []string) error { return runFetch(cmd.Context(), a, o, "fetch", args) },
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func newCatCommand(a *app) *cobra.Command {
	o := fetchOptions{output: "-", conflict: "fail", jobs: 1}
	cmd := &cobra.Command{
		Use:   "cat NAME|GLOB|FOLDER/...",
		Short: "Write files of the ring to standard output",
		Args:  takes(1, noLimit),
		RunE:  func(cmd *cobra.Command, args []string) error { return runFetch(cmd.Context(), a, o, "cat", args) },
	}
	o.addContentFlags(cmd.Flags())
	return cmd
}

func runFetch(ctx context.Context, a *app, o fetchOptions, verb string, args []string) error {
	if err := o.validate(); err != nil {
		return err
	}
	client := a.client()
	defer client.Close()
	names, partly, err := resolveNames(ctx, a, client, args)
	if err != nil {
		return err
	}
	f := &fetcher{app: a, client: client, options: o}
	if o.output == "-" {
		f.stdout = a.stdout
		f.options.jobs = 1 // one after the other, in order
	} else if f.target, err = openTarget(ctx, o.output, len(names) > 1 || slices.ContainsFunc(args, isFolder)); err != nil {
		return err
	} else {
		defer f.target.close()
		if f.target.stream != nil {
			f.stdout = f.target.stream
		}
	}
	f.report = newReport(a, "fetched", len(names))
	f.report.partly = partly
	if o.output == "-" {
		f.report.quiet = true
		a.documents = a.stderr
	}
	f.progress = a.newProgress("fetching", 0)
	f.all(ctx, names)
	f.progress.end()
	return hintFolder(a, verb, args, f.report.end(ctx))
}

// all fetches the names: into files many at a time, otherwise one by one.
func (f *fetcher) all(ctx context.Context, names []string) {
	jobs := newJobs(f.options.jobs)
	f.large = newJobs(f.options.jobs)
	together := f.options.jobs != 1 && len(names) > 1 && f.stdout == nil && !f.options.partial()
	if together {
		batches := newBatches(f.options.jobs, len(names))
		batches.run(ctx, func(from, to int) { f.many(ctx, names[from:to], jobs) })
		batches.wait()
		names = nil
	}
	for _, name := range names {
		if !jobs.run(ctx, false, func() { f.one(ctx, name) }) {
			break
		}
	}
	jobs.wait()
}

// fetchedLine is an item of `fetch --json`.
type fetchedLine struct {
	Type      string   `json:"type"` // item
	Name      string   `json:"name"`
	Action    string   `json:"action"` // fetched, identical or skipped
	Path      string   `json:"path"`
	Size      int64    `json:"size"`
	SHA256    string   `json:"sha256"`
	Verified  bool     `json:"verified"` // the whole content was checked against the SHA-256
	Confirmed bool     `json:"confirmed"`
	Resumed   int64    `json:"resumed"` // bytes that were there from an earlier attempt
	From      []string `json:"from"`
	Seconds   float64  `json:"seconds"`
}

// one fetches one file and reports it.
func (f *fetcher) one(ctx context.Context, name string) {
	start := time.Now()
	var got fetchResult
	var err error
	if f.stdout != nil {
		got, err = f.toStream(ctx, name)
	} else {
		got, err = f.toFile(ctx, name)
	}
	if err != nil {
		f.report.fail(ctx, name, err)
		return
	}
	f.tell(name, got, time.Since(start))
}

// tell reports what became of one file.
func (f *fetcher) tell(name string, got fetchResult, took time.Duration) {
	line := fetchedLine{
		Type:      "item",
		Name:      name,
		Action:    got.action,
		Path:      got.path,
		Size:      got.file.Size,
		SHA256:    got.file.SHA256,
		Verified:  got.verified,
		Confirmed: got.file.Confirmed,
		Resumed:   got.resumed,
		From:      append([]string{}, got.from...),
		Seconds:   took.Seconds(),
	}
	if got.action == "fetched" {
		for _, w := range doubts(got.file) {
			f.report.warn(w, got.file.Name, w)
		}
	}
	switch got.action {
	case "identical":
		f.report.item(skipped, 0, line, func() string {
			return fmt.Sprintf("%s  %s  already there, identical", escape(got.path), size(line.Size))
		})
	case "skipped":
		f.report.item(skipped, 0, line, func() string { return escape(got.path) + "  skipped: another file is there" })
	default:
		f.report.item(done, got.bytes, line, func() string { return fetchedText(got, took) })
	}
}

// leastForSpeed is from how many bytes on a speed means something.
const leastForSpeed = 64 << 10

func fetchedText(got fetchResult, d time.Duration) string {
	s := fmt.Sprintf("%s  %s", escape(got.path), size(got.bytes+got.resumed))
	if len(got.from) > 0 {
		s += "  from " + escape(strings.Join(got.from, ", "))
	}
	if got.bytes >= leastForSpeed {
		s += "  " + speed(got.bytes, d)
	}
	if got.resumed > 0 {
		s += fmt.Sprintf("  (%s were here)", size(got.resumed))
	}
	if got.verified {
		s += "  sha256 ok"
	}
	return s
}

// damaged is what a content is that is not what its record says.
func damaged(name string) error {
	return fmt.Errorf("fetch %q: %w", name, api.ErrIntegrity)
}
