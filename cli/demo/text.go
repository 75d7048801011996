package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

const maxRows = 20 // of the table of who holds what

// textTeller tells the story to a person. On a terminal the line of the step
// under way moves, drawn by one goroutine that lives as long as the step.
type textTeller struct {
	out     io.Writer
	live    bool
	color   bool
	settled func() // ends the moving line; nil when there is none
}

// printf ignores errors: a reader that has gone must not keep the daemons from
// being ended.
func (t *textTeller) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// paint puts text in an ANSI style, where colours are wanted.
func (t *textTeller) paint(style, text string) string {
	if !t.color {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

// hue is the colour of the i-th node, the same all along.
func hue(i int) string { return [...]string{"33", "36", "35", "34", "32", "91", "96"}[i%7] }

func (t *textTeller) title(text string) { t.printf("%s  %s\n\n", t.paint(bold, "dhtfs demo"), text) }

func (t *textTeller) begin(doing string) {
	if !t.live {
		return
	}
	stop := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTicker(80 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			t.printf("\r\x1b[K  %s %s", t.paint(hue(1), string([]rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[i%10])), doing)
			select {
			case <-stop:
				t.printf("\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	})
	t.settled = func() { close(stop); drawing.Wait() }
}

// settle ends the moving line, if there is one.
func (t *textTeller) settle() {
	if t.settled != nil {
		t.settled()
		t.settled = nil
	}
}

func (t *textTeller) end(_, done string, took time.Duration) {
	t.settle()
	t.printf("  %s %-74s %s\n", t.paint(green, "✓"), done, t.paint(dim, fmt.Sprintf("%5.2f s", took.Seconds())))
}

func (t *textTeller) failed() {
	t.settle()
	t.printf("  %s\n", t.paint(red, "✗ stopped here"))
}

func (t *textTeller) holdings(machines []*machine, held []holding) {
	const name = 34
	t.printf("\n  %-*s %9s  ", name, "", "")
	for i, m := range machines {
		t.printf("  %s", t.paint(hue(i), m.label))
	}
	t.printf("\n")
	for _, h := range held[:min(len(held), maxRows)] {
		row := fmt.Sprintf("  %-*s %9s  ", name, shorten(h.file.name, name), humanize.IBytes(uint64(h.file.size)))
		gap := ""
		for i, m := range machines {
			mark := t.paint(dim, "·")
			if slices.Contains(h.nodes, m.label) {
				mark = t.paint(hue(i), "●")
			}
			row += gap + "  " + mark
			gap = strings.Repeat(" ", len(m.label)-1)
		}
		t.printf("%s\n", row)
	}
	if more := len(held) - maxRows; more > 0 {
		t.printf("  … and %d more\n", more)
	}
	t.printf("\n")
}

func (t *textTeller) ring(drawing string, machines []*machine) {
	t.printf("\n")
	for line := range strings.Lines(drawing) {
		t.printf("    %s\n", strings.TrimRight(line, "\n"))
	}
	t.printf("\n   ")
	for i, m := range machines {
		switch m.state {
		case killed:
			t.printf(" %s", t.paint(red, "✗ "+m.label))
		case left:
			t.printf(" %s", t.paint(dim, "○ "+m.label))
		default:
			t.printf(" %s", t.paint(hue(i), "● "+m.label))
		}
	}
	t.printf("\n\n")
}

func (t *textTeller) summary(r Report) {
	t.printf("\n  %s\n", t.paint(bold, "What was measured"))
	row := func(what, figure string) { t.printf("    %-30s %s\n", what, figure) }
	row("files", fmt.Sprintf("%d, %s", r.Store.Files, humanize.IBytes(uint64(r.Store.Bytes))))
	row("store", r.Store.figures())
	row("fetch, "+r.Killed+" killed", r.AfterKill.figures())
	if r.AfterLogout != nil {
		row("fetch, "+r.LoggedOut+" logged out", r.AfterLogout.figures())
	}
	row("copies of each file", fmt.Sprintf("at least %d of %d after the store, %d at the end", r.Copies, r.Want, r.CopiesAtEnd))
	row("everything", fmt.Sprintf("%.1f s", r.Seconds))
	t.printf("    %s\n", t.paint(dim, "All nodes shared this machine: the times show that it works, not what a network does."))
}

// figures are a transfer's time and rate, and its warnings if there were any.
func (t Transfer) figures() string {
	s := fmt.Sprintf("%.2f s, %s/s through %s", t.Seconds, humanize.IBytes(t.rate()), t.Through)
	if t.Warnings > 0 {
		s += fmt.Sprintf(", %d warnings", t.Warnings)
	}
	return s
}

func (t *textTeller) kept(dir string, machines []*machine) {
	t.settle()
	t.printf("\n  Everything is left in %s. To look around, and to end it:\n", dir)
	for _, m := range machines {
		if m.state == running {
			t.printf("    dhtfs --home %s status\n", m.home)
			break
		}
	}
	for _, m := range machines {
		if m.state == running {
			t.printf("    dhtfs --home %s down\n", m.home)
		}
	}
}

// shorten cuts a name to n letters and makes what would move the cursor visible.
func shorten(name string, n int) string {
	letters := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, name))
	if len(letters) > n {
		letters = append(letters[:n-1], '…')
	}
	return string(letters)
}
