package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// escape makes text that came from elsewhere safe to print: what is no
// printable character becomes a Go escape sequence.
func escape(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// shellQuote makes s one word for a POSIX shell.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+=:@,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// size prints bytes for people.
func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// speed prints bytes over a time for people.
func speed(n int64, d time.Duration) string {
	return size(int64(float64(n)/max(d.Seconds(), 1e-6))) + "/s"
}

// took prints a duration for people: tenths of seconds, then coarser.
func took(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// since prints for how long something has been.
func since(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// clock prints a time for people: only the time if it is today's.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// short is an ID for people: its first four and last two digits.
func short(id string) string {
	if len(id) < 8 {
		return id
	}
	return id[:4] + "…" + id[len(id)-2:]
}

// plural is "1 node", "2 nodes".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, ok := strings.CutSuffix(what, "y"); ok {
		what = stem + "ie"
	}
	return fmt.Sprintf("%s %ss", humanize.Comma(int64(n)), what)
}

// output runs f, which prints, alone, and takes away the progress bar first;
// the bar comes back with the next step.
func (a *app) output(f func()) {
	a.lines.Lock()
	defer a.lines.Unlock()
	if a.barShown {
		_, _ = io.WriteString(a.stderr, "\r\x1b[K")
		a.barShown = false
	}
	f()
}

// printf writes to stdout.
func (a *app) printf(format string, args ...any) {
	text := printableLines(fmt.Sprintf(format, args...))
	a.output(func() { _, _ = io.WriteString(a.stdout, text) })
}

// inform writes to stderr, unless --quiet.
func (a *app) inform(format string, args ...any) {
	if !a.global.quiet {
		text := printableLines(fmt.Sprintf(format, args...))
		a.output(func() { _, _ = io.WriteString(a.stderr, text) })
	}
}

// warn tells of something that is not as it should be, and no failure.
func (a *app) warn(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if !a.global.json {
		a.output(func() { _, _ = fmt.Fprintf(a.stderr, "warning: %s\n", escape(message)) })
		return
	}
	line, err := json.Marshal(warningLine{Type: "warning", Message: message})
	if err == nil {
		a.output(func() { _, _ = fmt.Fprintf(a.warnings(), "%s\n", printableJSON(line)) })
	}
}

// warningLine is a warning with --json.
type warningLine struct {
	Type    string `json:"type"` // warning
	Message string `json:"message"`
}

// warnings is where warnings go with --json: among the lines of a command that
// prints lines, beside the document of one that prints a document.
func (a *app) warnings() io.Writer {
	if a.jsonLines {
		return a.documents
	}
	return a.stderr
}

// printJSON writes doc on a line of its own.
func (a *app) printJSON(doc any) (err error) {
	a.output(func() {
		encoder := json.NewEncoder(printableJSONWriter{a.documents})
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(doc)
	})
	return err
}

// printTable writes rows in columns, every cell escaped.
func (a *app) printTable(header []string, rows [][]string) (err error) {
	a.output(func() { err = writeTable(a.stdout, header, rows) })
	return err
}

func writeTable(w io.Writer, header []string, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if header != nil {
		_, _ = fmt.Fprintln(table, strings.Join(header, "\t"))
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = escape(cell)
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}
