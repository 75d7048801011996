package cli

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// storeOptions are the flags of store.
type storeOptions struct {
	as       text
	prefix   string
	ifExists string
	force    bool
	replicas int
	quorum   int
	compress string
	limit    byteRate
	jobs     int
	exclude  []string
	retry    time.Duration
}

// AddFlags declares the flags on f.
func (o *storeOptions) AddFlags(f *pflag.FlagSet) {
	f.Var(&o.as, "as", "store one file under this `NAME`")
	f.StringVar(&o.prefix, "prefix", "", "put `P` before every name")
	f.StringVar(&o.ifExists, "if-exists", "fail", "when the name is taken by other content: fail, replace or skip")
	f.BoolVar(&o.force, "force", false, "the same as --if-exists replace")
	f.IntVarP(&o.replicas, "replicas", "n", 0, "keep this many copies: more than the ring's own number")
	f.IntVarP(&o.quorum, "write-quorum", "w", 0, "wait for this many copies: more than the ring's own number")
	f.StringVar(&o.compress, "compress", "auto", "on the wire: auto, off, or 1 (fast) to 4 (small)")
	f.Var(&o.limit, "limit", "send no faster than this `RATE`, like 5MiB/s")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "store this many files at once (default: 4 large ones, or some hundred small ones)")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out what matches `GLOB`: file and folder names, or paths in the folder")
	f.DurationVar(&o.retry, "retry", retryTime, "go on trying for this `TIME` while too few nodes answer")
	_ = f.MarkHidden("retry")
}

func (o *storeOptions) validate(args []string) error {
	if _, err := node.ParseIfExists(o.ifExists); err != nil {
		return usagef("--if-exists: %v", err)
	}
	if o.compress != "auto" && o.compress != "off" && (len(o.compress) != 1 || !strings.Contains("1234", o.compress)) {
		return usagef("--compress: %q is not one of auto, off, 1, 2, 3, 4", o.compress)
	}
	for _, glob := range o.exclude {
		if _, err := path.Match(glob, ""); err != nil {
			return usagef("--exclude: %q is no glob", glob)
		}
	}
	switch {
	case o.replicas < 0 || o.quorum < 0:
		return usagef("--replicas and --write-quorum cannot be less than zero")
	case o.jobs < 0:
		return usagef("--jobs cannot be less than zero")
	case o.as != "" && len(args) > 1:
		return usagef("--as names one file, and there are %d", len(args))
	case o.as != "" && o.prefix != "":
		return usagef("--as and --prefix exclude each other")
	}
	for _, arg := range args {
		if arg == "" {
			return usagef("the path of what is to be stored is empty")
		}
		if arg == "-" && o.as == "" {
			return usagef("standard input has no name: say --as NAME")
		}
	}
	return nil
}

func newStoreCommand(a *app) *cobra.Command {
	var o storeOptions
	cmd := &cobra.Command{
		Use:     "store PATH...|-",
		Aliases: []string{"put"},
		Short:   "Store files and folders on the ring",
		Args:    takes(1, noLimit),
		RunE:    func(cmd *cobra.Command, args []string) error { return runStore(cmd.Context(), a, o, args) },
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runStore(ctx context.Context, a *app, o storeOptions, args []string) error {
	if err := o.validate(args); err != nil {
		return err
	}
	uploads, err := gather(a, o, args)
	if err != nil {
		return err
	}
	if len(uploads) == 0 {
		a.warn("there is no file to store")
	}
	client := a.client()
	defer client.Close()
	if len(uploads) > 1 {
		if _, err := client.Status(ctx); err != nil {
			return err // once, not for each file
		}
	}
	s := &storer{
		app:      a,
		client:   client,
		options:  o,
		limiter:  o.limit.limiter(),
		report:   newReport(a, "stored", len(uploads)),
		progress: a.newProgress("storing", total(uploads)),
	}
	s.all(ctx, uploads)
	s.progress.end()
	return s.report.end(ctx)
}

// all stores the uploads: small files many at a time, the others one by one.
func (s *storer) all(ctx context.Context, uploads []upload) {
	small, others := uploads[:0:0], uploads
	if s.options.jobs != 1 {
		small, others = split(uploads, upload.isSmall)
	}
	jobs := newJobs(s.options.jobs)
	var together sync.WaitGroup
	together.Go(func() { s.small(ctx, small, jobs) })
	for _, u := range others {
		if !jobs.run(ctx, u.path == "" || u.info != nil && u.info.Size() > smallJob, func() { s.one(ctx, u, newStoring()) }) {
			break
		}
	}
	together.Wait()
	jobs.wait()
}

// storer stores files.
type storer struct {
	app      *app
	client   *api.Client
	options  storeOptions
	limiter  *rate.Limiter // nil: no limit
	report   *report
	progress *progress
}

// storedLine is an item of `store --json`.
type storedLine struct {
	Type   string   `json:"type"` // item
	Name   string   `json:"name"`
	Action string   `json:"action"` // stored, replaced, identical or skipped
	Size   int64    `json:"size"`
	Sent   int64    `json:"sent"`
	Copies int      `json:"copies"`
	Want   int      `json:"want"`
	Nodes  []string `json:"nodes"`
	SHA256 string   `json:"sha256"`
	// Lacking are nodes that should have a copy and are known to be unable to.
	Lacking []api.Lacking `json:"lacking,omitempty"`
}

// one stores one file and reports it.
func (s *storer) one(ctx context.Context, u upload, o storing) {
	start := time.Now()
	stored, err := s.store(ctx, u, o)
	if err != nil {
		s.report.fail(ctx, u.name, s.explain(ctx, err))
		return
	}
	s.tell(u.name, stored.Briefly(), time.Since(start))
}

// tell reports what became of one file.
func (s *storer) tell(name string, stored api.StoredBriefly, took time.Duration) {
	line := storedLine{
		Type:   "item",
		Name:   name,
		Action: stored.Action,
		Size:   stored.Size,
		Sent:   stored.Sent,
		Copies: stored.Copies,
		Want:   stored.Want,
		Nodes:  append([]string{}, stored.Nodes...),
		SHA256: stored.SHA256,

		Lacking: stored.Lacking,
	}
	switch node.Action(stored.Action) {
	case node.Identical:
		s.report.item(skipped, 0, line, func() string {
			return fmt.Sprintf("%s  %s  already stored, identical", escape(name), size(line.Size))
		})
	case node.Skipped:
		s.report.item(skipped, 0, line, func() string {
			return escape(name) + "  skipped: other content is stored under this name"
		})
	default:
		s.report.item(done, line.Size, line, func() string { return storedText(line, took) })
		s.warnOfCopies(line)
	}
}

// warnOfCopies tells of the copies that a store did not get.
func (s *storer) warnOfCopies(stored storedLine) {
	for _, l := range stored.Lacking {
		what := "no copy on " + l.Name + " yet"
		switch l.ID {
		case "no_space":
			what = l.Name + " is full"
		case "degraded":
			what = "the disk of " + l.Name + " has failed"
		}
		s.report.warn(what, stored.Name, fmt.Sprintf("%s (%s)", what, l.Message))
	}
	if stored.Copies < stored.Want {
		what := fmt.Sprintf("%d of %d copies so far; the rest is made as soon as nodes can", stored.Copies, stored.Want)
		s.report.warn(what, stored.Name, what)
	}
}

func storedText(l storedLine, d time.Duration) string {
	wire := ""
	if 0 < l.Sent && l.Sent < l.Size {
		wire = fmt.Sprintf(" (%s on the wire)", size(l.Sent))
	}
	where := fmt.Sprintf("%s on %s (%d of %d)", l.Action, escape(strings.Join(l.Nodes, ", ")), l.Copies, l.Want)
	if l.Want == 1 {
		where = fmt.Sprintf("%s on %s (one copy: this ring has one node)", l.Action, escape(strings.Join(l.Nodes, ", ")))
	}
	return fmt.Sprintf("%s  %s%s  %s  %s", escape(l.Name), size(l.Size), wire, where, took(d))
}

// explain says what is stored under a name that is taken, and how many copies
// there can be.
func (s *storer) explain(ctx context.Context, err error) error {
	failure := api.Describe(err)
	switch {
	case ctx.Err() != nil:
		return err
	case failure.ID == "too_few_copies":
		return s.explainCopies(ctx, err)
	case failure.ID != "exists" || failure.Existing == nil:
		return err
	}
	old := failure.Existing
	failure.Message = fmt.Sprintf("%q is already stored and differs (%s, by %s, %s)",
		old.Name, size(old.Size), old.Publisher, clock(old.Stored, time.Now()))
	failure.Hint = "--force replaces it, --as NAME stores under another name"
	return failure
}

// explainCopies promises no copies that the ring will not make.
func (s *storer) explainCopies(ctx context.Context, err error) error {
	asked := max(s.options.replicas, s.options.quorum)
	status, unknown := s.client.Status(ctx)
	if unknown == nil && asked > status.Members {
		return withHint(err, "the file is stored; the ring has %s, and each keeps one copy. To add a machine:  %s",
			plural(status.Members, "node"), s.app.command("invite"))
	}
	return err
}
