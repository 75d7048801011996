package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
)

// How often progress is shown where it is lines.
const (
	plainInterval = 10 * time.Second
	jsonInterval  = time.Second
)

// progress shows how far a command is. Its methods may be called concurrently.
type progress struct {
	app   *app
	verb  string
	bars  bool // the mode that draws a bar
	start time.Time
	total atomic.Int64 // bytes; less than zero when not known
	moved atomic.Int64
	stop  chan struct{}
	ended sync.WaitGroup

	mu  sync.Mutex
	bar *progressbar.ProgressBar // nil before the first byte is expected
}

// statusLine is progress as JSON.
type statusLine struct {
	Type    string  `json:"type"` // status
	Bytes   int64   `json:"bytes"`
	Total   int64   `json:"total,omitempty"` // not there when it is not known
	Rate    float64 `json:"bytes_per_second"`
	Seconds float64 `json:"seconds"`
}

// newProgress begins to show progress towards total bytes, to which expect may
// add; less than zero is not known. end ends it.
func (a *app) newProgress(verb string, total int64) *progress {
	p := &progress{app: a, verb: verb, start: time.Now(), stop: make(chan struct{})}
	mode := a.global.progress
	if mode == "auto" {
		switch {
		case a.global.json:
			mode = "json"
		case a.global.quiet:
			mode = "off"
		case isTerminal(a.stderr):
			mode = "bar"
		default:
			mode = "plain"
		}
	}
	switch mode {
	case "bar":
		p.bars = true
	case "plain":
		p.every(plainInterval, p.plain)
	case "json":
		p.every(jsonInterval, p.json)
	}
	if total != 0 {
		p.expect(total)
	}
	return p
}

// expect makes the total n bytes greater.
func (p *progress) expect(n int64) {
	total := p.total.Add(n)
	if !p.bars {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		p.bar = newBar(p.app, p.verb, total)
	} else {
		p.bar.ChangeMax64(total)
	}
}

// drawn is the bar, if there is one.
func (p *progress) drawn() *progressbar.ProgressBar {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bar
}

func newBar(a *app, verb string, total int64) *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(barWriter{a}),
		progressbar.OptionSetDescription(verb),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionSetWidth(24),
		progressbar.OptionClearOnFinish(),
	}
	if os.Getenv("NO_COLOR") == "" {
		options = append(options, progressbar.OptionEnableColorCodes(true))
	}
	return progressbar.NewOptions64(total, options...)
}

// barWriter draws the bar when no line is being printed.
type barWriter struct{ app *app }

func (w barWriter) Write(p []byte) (int, error) {
	w.app.lines.Lock()
	defer w.app.lines.Unlock()
	w.app.barShown = true
	return w.app.stderr.Write(p)
}

// every calls show at an interval until the progress ends.
func (p *progress) every(interval time.Duration, show func()) {
	p.ended.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-ticker.C:
				show()
			}
		}
	})
}

// add counts n bytes; less than zero takes back what has to be sent again.
func (p *progress) add(n int64) {
	moved := p.moved.Add(n)
	if bar := p.drawn(); bar != nil {
		_ = bar.Set64(moved) // a bar that cannot be drawn hurts nobody
	}
}

// end takes the bar away.
func (p *progress) end() {
	close(p.stop)
	p.ended.Wait()
	if bar := p.drawn(); bar != nil {
		_ = bar.Exit()
		p.app.output(func() {})
	}
}

func (p *progress) plain() {
	moved, total, passed := p.moved.Load(), p.total.Load(), time.Since(p.start)
	of, eta := "", ""
	if total > 0 {
		of = " of " + size(total)
		if moved > 0 && moved < total {
			left := time.Duration(float64(passed) * float64(total-moved) / float64(moved))
			eta = ", " + left.Round(time.Second).String() + " left"
		}
	}
	p.app.inform("%s: %s%s, %s%s\n", p.verb, size(moved), of, speed(moved, passed), eta)
}

func (p *progress) json() {
	moved, passed := p.moved.Load(), time.Since(p.start)
	line, err := json.Marshal(statusLine{
		Type: "status", Bytes: moved, Total: max(p.total.Load(), 0), Rate: float64(moved) / passed.Seconds(), Seconds: passed.Seconds(),
	})
	if err != nil {
		return
	}
	out := p.app.stderr
	if p.app.global.json {
		out = p.app.documents
	}
	p.app.output(func() { _, _ = fmt.Fprintf(out, "%s\n", line) })
}

// followEvery is how often the offset of a file is looked at.
const followEvery = 100 * time.Millisecond

// follow counts how far a file's offset, which another process moves, is beyond
// from, until end is called, which returns what was counted in all.
func (p *progress) follow(file io.Seeker, from int64) (end func() int64) {
	counted := int64(0)
	look := func() {
		if at, err := file.Seek(0, io.SeekCurrent); err == nil {
			p.add(at - from - counted)
			counted = at - from
		}
	}
	stop := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				look()
			case <-stop:
				return
			}
		}
	})
	return func() int64 {
		close(stop)
		ended.Wait()
		look()
		return counted
	}
}

// reader counts what is read from r.
func (p *progress) reader(r io.Reader) *progressReader { return &progressReader{r: r, progress: p} }

// progressReader counts what is read through it. Read may be under way while
// withdraw is called.
type progressReader struct {
	r        io.Reader
	progress *progress

	mu        sync.Mutex
	n         int64
	withdrawn bool
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.withdrawn {
		r.n += int64(n)
		r.progress.add(int64(n))
	}
	return n, err
}

// withdraw takes back what was counted and counts no more.
func (r *progressReader) withdraw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.withdrawn = true
	r.progress.add(-r.n)
}
