package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dhtfs/dhtfs/node/api"
)

// nasty is text that a terminal would obey: an escape sequence, a bell, DEL, CSI as
// one character, and a change of the direction of writing.
const nasty = "a\x1b[31m\x07\x7f\u009b31m\u202e\U000e0041z"

func TestPrintableLines(t *testing.T) {
	assert.Equal(t, "a\tb\nc ü\n", printableLines("a\tb\nc ü\n"))
	assert.Equal(t, "a\t"+`\x1b[1m\r`+"\n"+`\u009b`+"\n", printableLines("a\t\x1b[1m\r\n\u009b\n"))
}

func TestPrintableJSONMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text") + nasty
		doc, err := json.Marshal(text)
		require.NoError(t, err)
		out := printableJSON(doc)
		require.True(t, printable(string(out)), "%q", out)
		var back string
		require.NoError(t, json.Unmarshal(out, &back))
		require.Equal(t, strings.ToValidUTF8(text, "\ufffd"), back)
	})
}

// Whatever a caller forgot, nothing raw is printed.
func TestNothingRawIsPrinted(t *testing.T) {
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, documents: &stdout}
	a.printf("%s\n", nasty)
	a.inform("%s\n", nasty)
	a.warn("%s", nasty)
	a.complain(&api.Error{Message: nasty, Hint: nasty})
	require.NoError(t, a.printTable([]string{"NAME"}, [][]string{{nasty}}))
	require.NoError(t, a.printJSON(map[string]string{nasty: nasty}))
	a.global.json = true
	a.warn("%s", nasty)
	assert.Equal(t, 1, a.exit(t.Context(), &api.Error{Code: 1, Message: nasty, Hint: nasty}))
	a.global.logFormat = "json"
	a.logger().Warn(nasty, "name", nasty)
	a.global.logFormat = "text"
	a.logger().Warn(nasty, "name", nasty)
	for _, out := range []string{stdout.String(), stderr.String()} {
		assert.True(t, printable(strings.ReplaceAll(out, "\n", "")), "%q", out)
		assert.NotEmpty(t, out)
	}
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r != utf8.RuneError && !unicode.IsPrint(r) }) < 0
}
