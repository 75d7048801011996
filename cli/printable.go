package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Everything that is printed passes through one of these, whatever was done to its
// parts before: names and messages come from other people, and a terminal obeys
// some characters.

// printableLines escapes what is no printable character, but for the ends of
// lines and tabs.
func printableLines(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r != '\n' && r != '\t' && (r == utf8.RuneError || !unicode.IsPrint(r)) }) < 0 {
		return s
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		cells := strings.Split(line, "\t")
		for j := range cells {
			cells[j] = escape(cells[j])
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n")
}

// printableJSON writes the characters of JSON's strings that no terminal should get
// as JSON's own escapes, so that the document means the same. The encoder does that
// for those of ASCII only.
func printableJSON(doc []byte) []byte {
	unprintable := func(r rune) bool { return r >= 0x7f && (r != utf8.RuneError && !unicode.IsPrint(r)) }
	text := string(doc)
	if strings.IndexFunc(text, unprintable) < 0 {
		return doc
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !unprintable(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}

// printableJSONWriter is printableJSON for a writer that gets whole documents.
type printableJSONWriter struct{ w io.Writer }

func (p printableJSONWriter) Write(doc []byte) (int, error) {
	if _, err := p.w.Write(printableJSON(doc)); err != nil {
		return 0, err
	}
	return len(doc), nil
}
