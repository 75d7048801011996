package filestore

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the length of the longest name, in bytes.
const MaxName = 1024

// maxFileName is the longest file name that common file systems take, in bytes.
const maxFileName = 255

// KeyOf returns the place of name on the ring: its SHA-1.
func KeyOf(name string) [20]byte { return sha1.Sum([]byte(name)) }

// ValidateName returns nil for a name that can be stored, else an error that
// wraps ErrBadName and says why. A name is 1 to MaxName bytes of UTF-8 without
// NUL: segments, none of them empty, "." or "..", with "/" between.
func ValidateName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrBadName)
	case len(name) > MaxName:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrBadName, len(name), MaxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", ErrBadName, name)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w: %q contains NUL", ErrBadName, name)
	}
	for segment := range strings.SplitSeq(name, "/") {
		switch segment {
		case "":
			return fmt.Errorf("%w: %q has an empty segment", ErrBadName, name)
		case ".", "..":
			return fmt.Errorf("%w: %q has the segment %q", ErrBadName, name, segment)
		}
	}
	return nil
}

// Escape returns the file name that holds a valid name: the name itself with
// these runes percent-escaped, byte by byte: / \ %, control characters, a
// leading dot, a trailing dot or space, the first letter of a name that
// Windows reserves (CON, NUL, COM1.txt ...) and, on Windows, < > : " | ? *.
// If that is over 255 bytes it is a prefix of it, "~" and the key in hex; so
// that no short name can look like one of those, its "~" would be escaped.
func Escape(name string) string {
	whole := escapeRunes(name)
	if len(whole) <= maxFileName {
		if i := len(whole) - longSuffix; i >= 0 && isLong(whole) {
			if fixed := whole[:i] + "%7E" + whole[i+1:]; len(fixed) <= maxFileName {
				return fixed
			}
		} else {
			return whole
		}
	}
	key := KeyOf(name)
	return cutEscaped(whole, maxFileName-longSuffix) + "~" + hex.EncodeToString(key[:])
}

// longSuffix is the length of "~" and a key in hex.
const longSuffix = 1 + 2*20

// isLong reports whether a file name ends like that of a long name.
func isLong(file string) bool {
	i := len(file) - longSuffix
	if i < 0 || file[i] != '~' {
		return false
	}
	return strings.Trim(file[i+1:], "0123456789abcdef") == ""
}

// Unescape is the inverse of Escape. It returns false for a file name that
// Escape never makes and for that of a long name, which does not hold all of it.
func Unescape(file string) (string, bool) {
	if isLong(file) {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(file); i++ {
		if file[i] != '%' {
			b.WriteByte(file[i])
			continue
		}
		if i+2 >= len(file) {
			return "", false
		}
		raw, err := hex.DecodeString(file[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(raw)
		i += 2
	}
	name := b.String()
	if ValidateName(name) != nil || Escape(name) != file {
		return "", false
	}
	return name, true
}

// escapeRunes does all of Escape but the length.
func escapeRunes(name string) string {
	var b strings.Builder
	reserved := reservedName(name)
	for i, r := range name {
		size := utf8.RuneLen(r)
		first, last := i == 0, i+size == len(name)
		if alwaysEscaped(r) || first && (r == '.' || reserved) || last && (r == '.' || r == ' ') {
			for _, c := range []byte(name[i : i+size]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func alwaysEscaped(r rune) bool {
	switch r {
	case '/', '\\', '%':
		return true
	case '<', '>', ':', '"', '|', '?', '*':
		return runtime.GOOS == "windows"
	}
	return unicode.IsControl(r)
}

// reservedName reports whether Windows takes name for a device, whatever
// follows the first dot.
func reservedName(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if n, ok := strings.CutPrefix(base, port); ok {
			return utf8.RuneCountInString(n) == 1 && strings.Contains("0123456789¹²³", n)
		}
	}
	return false
}

// cutEscaped shortens an escaped name to at most n bytes without splitting a
// rune or an escape.
func cutEscaped(s string, n int) string {
	for !utf8.RuneStart(s[n]) {
		n--
	}
	for back := 1; back <= 2; back++ {
		if s[n-back] == '%' {
			return s[:n-back]
		}
	}
	return s[:n]
}
