package filestore

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestValidateName(t *testing.T) {
	for _, good := range []string{
		"a", "a/b/c", "ä ö", "...", "a..b", "..a", "CON", "a\x1b[31mb", "a\\b", " ", "\u202e", strings.Repeat("x", MaxName),
	} {
		assert.NoError(t, ValidateName(good), "%q", good)
	}
	for _, bad := range []string{
		"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "../../etc/passwd", "a\x00b", "a\xffb", "\xed\xa0\x80",
		strings.Repeat("x", MaxName+1),
	} {
		assert.ErrorIs(t, ValidateName(bad), ErrBadName, "%q", bad)
	}
}

func TestEscape(t *testing.T) {
	long := strings.Repeat("é/", 100) + "x"
	for name, want := range map[string]string{
		"report.pdf":         "report.pdf",
		"a/b\\c%d":           "a%2Fb%5Cc%25d",
		".hidden":            "%2Ehidden",
		".dhtfs-tmp":         "%2Edhtfs-tmp",
		"a/.hidden":          "a%2F.hidden",
		"dot.":               "dot%2E",
		"space ":             "space%20",
		"...":                "%2E.%2E",
		"a\x1b[1m\x7f\u0085": "a%1B[1m%7F%C2%85",
		"con":                "%63on",
		"CON.txt":            "%43ON.txt",
		"COM1":               "%43OM1",
		"lpt².log":           "%6Cpt².log",
		"COM10":              "COM10",
		"console":            "console",
		"nul .x":             "%6Eul .x",
		"grüße":              "grüße",
	} {
		assert.Equal(t, want, Escape(name))
		back, ok := Unescape(want)
		assert.True(t, ok, want)
		assert.Equal(t, name, back)
	}
	file := Escape(long)
	assert.LessOrEqual(t, len(file), 255)
	assert.True(t, utf8.ValidString(file))
	assert.True(t, strings.HasPrefix(file, "é%2Fé"))
	assert.Regexp(t, `[^%].[^%~]~[0-9a-f]{40}$`, file, "no half escape before the key")
	_, ok := Unescape(file)
	assert.False(t, ok)
	// A short name cannot take the place of a long one.
	assert.NotEqual(t, file, Escape(file))
	for _, never := range []string{"", "a/b", "%", "%2", "%zz", "%41", "%2f", ".x", "a ", "%00", "a%2F%2Fb", "\xff"} {
		_, ok := Unescape(never)
		assert.False(t, ok, "%q", never)
	}
}

func TestEscapeProperties(t *testing.T) {
	special := rapid.SampledFrom([]rune(`/\%.~ aA0fCON1é\u0301` + "\x01\u0085\t"))
	names := rapid.OneOf(
		rapid.StringOfN(special, 1, 60, MaxName),
		rapid.StringN(1, 400, MaxName),
		rapid.StringMatching(`[a-z]{190,230}~[0-9a-f]{40}`),
	).Filter(func(s string) bool { return ValidateName(s) == nil })
	rapid.Check(t, func(t *rapid.T) {
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		file := Escape(a)
		require.LessOrEqual(t, len(file), 255)
		require.NotContains(t, file, "/")
		require.False(t, isTemp(file) || file[0] == '.')
		require.True(t, utf8.ValidString(file))
		if a != b {
			require.NotEqual(t, file, Escape(b))
		}
		require.NotEqual(t, file, Escape(file+"%"))
		if back, ok := Unescape(file); ok {
			require.Equal(t, a, back)
		} else {
			require.True(t, isLong(file))
		}
		if ValidateName(file) == nil && isLong(file) {
			require.NotEqual(t, file, Escape(file), "a long name's file is no short name's")
		}
	})
}
