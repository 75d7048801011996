package cli

import (
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestEscape(t *testing.T) {
	tests := map[string]string{
		"report.pdf":        "report.pdf",
		"Übersicht – 😀":     "Übersicht – 😀",
		"a\x1b[31mred":      `a\x1b[31mred`,
		"two\nlines\r":      `two\nlines\r`,
		"del\x7f c1\u009b":  `del\x7f c1\u009b`,
		"right\u202eto":     `right\u202eto`,
		"bad\xffutf8":       `bad\xffutf8`,
		"replacement\ufffd": "replacement\ufffd",
	}
	for in, want := range tests {
		assert.Equal(t, want, escape(in))
	}
}

func TestEscapedTextIsPrintable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range escape(string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))) {
			if r != utf8.RuneError && !unicode.IsPrint(r) {
				t.Fatalf("%q", r)
			}
		}
	})
}

func TestHumanFormats(t *testing.T) {
	assert.Equal(t, "1.8 MiB", size(1_900_000))
	assert.Equal(t, "0 B", size(-1))
	assert.Equal(t, "0.2 s", took(200*time.Millisecond))
	assert.Equal(t, "3 h", since(3*time.Hour+time.Minute))
	assert.Equal(t, "3f9c…e1", short("3f9c0000e1"))
	assert.Equal(t, "1 node", plural(1, "node"))
	assert.Equal(t, "1,234 files", plural(1234, "file"))
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)
	assert.Equal(t, "10:02", clock(now.Add(-118*time.Minute), now))
	assert.Equal(t, "2025-03-04 12:00", clock(now.AddDate(-1, 0, 0), now))
	assert.Equal(t, "/a/b-c.d", shellQuote("/a/b-c.d"))
	assert.Equal(t, `'a b'\''c'`, shellQuote("a b'c"))
}
