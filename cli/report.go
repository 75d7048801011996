package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/dhtfs/dhtfs/node/api"
)

// outcome is how an item is counted.
type outcome uint8

const (
	done outcome = iota
	skipped
	failed
)

// report prints what became of each item of a command, and the summary. Safe
// for concurrent use.
type report struct {
	app   *app
	verb  string // stored, fetched or removed
	quiet bool   // stdout is for content: no lines for people
	items int
	start time.Time
	// partly is what the command ends with when all items went well: there may be more.
	partly error

	mu       sync.Mutex
	counts   [3]int
	bytes    int64
	problem  error // of the last item that failed
	warnings []itemsWarning
	told     map[string]bool // what is not said once more
}

// itemsWarning is what is to be said of one item, or of several.
type itemsWarning struct {
	kind, text string
	name       string // of the first
	items      int
}

// summaryLine is the last line of a command that prints JSON lines.
type summaryLine struct {
	Type    string  `json:"type"` // summary
	OK      bool    `json:"ok"`
	Stored  *int    `json:"stored,omitempty"`
	Fetched *int    `json:"fetched,omitempty"`
	Removed *int    `json:"removed,omitempty"`
	Skipped int     `json:"skipped"`
	Failed  int     `json:"failed"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// failedLine is the item line of an item that failed.
type failedLine struct {
	Type   string     `json:"type"` // item
	Name   string     `json:"name"`
	Action string     `json:"action"` // failed
	Error  *api.Error `json:"error"`
}

func newReport(a *app, verb string, items int) *report {
	a.jsonLines = true
	return &report{app: a, verb: verb, items: items, start: time.Now(), told: map[string]bool{}}
}

// item prints an item that went well: doc with --json, else text, unless nothing is.
func (r *report) item(how outcome, bytes int64, doc any, text func() string) {
	r.mu.Lock()
	r.counts[how]++
	r.bytes += bytes
	r.mu.Unlock()
	switch {
	case r.app.global.json:
		_ = r.app.printJSON(doc)
	case !r.quiet && !r.app.global.quiet:
		r.app.printf("%s\n", text())
	}
}

// warn tells of something that is not as it should be with an item that went well.
// Where there are several items, people are told at the end, once for all of which
// the same kind of thing is to be said, in the words for the first.
func (r *report) warn(kind, name, text string) {
	if r.items == 1 || r.app.global.json {
		r.app.warn("%s: %s", name, text)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.warnings, func(w itemsWarning) bool { return w.kind == kind })
	if i < 0 {
		i = len(r.warnings)
		r.warnings = append(r.warnings, itemsWarning{kind: kind, text: text, name: name})
	}
	r.warnings[i].items++
}

// again returns what tells that an item is tried again. The first item stands for all
// others that fail in the same way.
func (r *report) again(name string) func(error) {
	return func(err error) {
		failure := api.Describe(err)
		if r.first(failure.ID) {
			r.app.inform("%s: %s; trying again\n", escape(name), escape(failure.Message))
		}
	}
}

// first reports whether it is asked about what for the first time.
func (r *report) first(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.told[what]
	r.told[what] = true
	return !told
}

// fail notes an item that went wrong. The error of a command's only item is
// left to exit; of several that have the same hint the first shows it.
func (r *report) fail(ctx context.Context, name string, err error) {
	r.mu.Lock()
	r.counts[failed]++
	r.problem = err
	r.mu.Unlock()
	if ctx.Err() != nil {
		return // the signal is what is wrong
	}
	failure := r.app.describe(ctx, err)
	if r.app.global.json {
		_ = r.app.printJSON(failedLine{Type: "item", Name: name, Action: "failed", Error: failure})
		return
	}
	if r.items > 1 {
		if !r.first(failure.Hint) {
			failure.Hint = ""
		}
		r.app.complain(failure)
	}
}

// end prints the summary and returns the command's error. Items of which nothing was
// heard were not come to, as ctx had ended.
func (r *report) end(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := time.Since(r.start)
	n := r.counts
	stopped := ctx.Err() != nil && n[done]+n[skipped]+n[failed] < r.items
	if r.app.global.json {
		line := summaryLine{
			Type: "summary", OK: n[failed] == 0 && !stopped && r.partly == nil, Skipped: n[skipped], Failed: n[failed], Bytes: r.bytes, Seconds: took.Seconds(),
		}
		switch r.verb {
		case "stored":
			line.Stored = &n[done]
		case "fetched":
			line.Fetched = &n[done]
		default:
			line.Removed = &n[done]
		}
		_ = r.app.printJSON(line)
	} else if r.items > 1 {
		for _, w := range r.warnings {
			of := w.name
			if w.items > 1 {
				of = plural(w.items, "file")
			}
			r.app.warn("%s: %s", of, w.text)
		}
		r.app.inform("%s", r.sentence(took))
	}
	switch {
	case stopped:
		return context.Cause(ctx)
	case n[failed] == 0:
		return r.partly
	case r.items == 1:
		return r.problem
	case errors.Is(r.problem, context.Canceled):
		return r.problem
	}
	return &api.Error{
		Code:    api.ExitPartial,
		ID:      "partial",
		Message: fmt.Sprintf("%d of %s failed", n[failed], plural(r.items, "file")),
		Hint:    "the same command again takes up where this one ended",
	}
}

// sentence is the summary for people.
func (r *report) sentence(d time.Duration) string {
	s := fmt.Sprintf("%s %s", plural(r.counts[done], "file"), r.verb)
	if r.bytes > 0 {
		s += fmt.Sprintf(", %s in %s (%s)", size(r.bytes), took(d), speed(r.bytes, d))
	}
	if r.counts[skipped] > 0 {
		s += fmt.Sprintf("; %s skipped", humanize.Comma(int64(r.counts[skipped])))
	}
	if r.counts[failed] > 0 {
		s += fmt.Sprintf("; %s failed", humanize.Comma(int64(r.counts[failed])))
	}
	return s + "\n"
}
