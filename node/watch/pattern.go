package watch

import (
	"fmt"
	"regexp"
	"strings"
)

// pattern is one line of an ignore file, with git's rules (gitignore(5)).
type pattern struct {
	negated bool   // what matches is not ignored after all
	dirOnly bool   // only folders match
	path    bool   // the whole path below the folder of the file is matched, not only its last segment
	literal string // what must be equal, where there is nothing to expand
	suffix  string // what must be the end, for "*suffix"
	re      *regexp.Regexp
}

// parseLine reads one line; false for a comment or an empty one.
func parseLine(line string) (pattern, bool) {
	line = strings.TrimSuffix(line, "\r")
	if line == "" || line[0] == '#' {
		return pattern{}, false
	}
	return parsePattern(trimSpaces(line))
}

// parsePattern reads a pattern.
func parsePattern(text string) (p pattern, ok bool) {
	text, p.negated = strings.CutPrefix(text, "!")
	text, p.dirOnly = strings.CutSuffix(text, "/")
	if text == "" {
		return p, false
	}
	p.path = strings.Contains(text, "/")
	text = strings.TrimPrefix(text, "/")
	rest, star := strings.CutPrefix(text, "*")
	switch {
	case text == "":
		p.re = nothing
	case !strings.ContainsAny(text, `*?[\`):
		p.literal = text
	case star && !p.path && !strings.ContainsAny(rest, `*?[\`):
		p.suffix = rest
		if rest == "" {
			p.re = anything
		}
	default:
		p.re = translate(text, p.path)
	}
	return p, true
}

// trimSpaces removes trailing spaces that no backslash protects.
func trimSpaces(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		}
		if i >= len(line) || line[i] != ' ' || line[max(0, i-1)] == '\\' {
			end = min(i+1, len(line))
		}
	}
	return line[:end]
}

// matches reports whether a path, relative to the folder of the ignore file, or
// its last segment is what the pattern means.
func (p *pattern) matches(path string, isDir bool) bool {
	if p.dirOnly && !isDir {
		return false
	}
	if !p.path {
		path = path[strings.LastIndexByte(path, '/')+1:]
	}
	switch {
	case p.literal != "":
		return path == p.literal
	case p.suffix != "":
		return strings.HasSuffix(path, p.suffix)
	}
	return p.re.MatchString(byteRunes(path))
}

var (
	anything = regexp.MustCompile("")
	nothing  = regexp.MustCompile(`[^\x{0}-\x{10FFFF}]`)
)

// byteRunes makes each byte a rune, since git compares bytes.
func byteRunes(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			runes := make([]rune, len(s))
			for i := range len(s) {
				runes[i] = rune(s[i])
			}
			return string(runes)
		}
	}
	return s
}

// translate makes a regular expression of a pattern with wildcards. In a path
// nothing but "**" between slashes crosses a slash.
func translate(text string, path bool) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for i := 0; i < len(text); {
		c := text[i]
		switch c {
		case '*':
			stars := i
			for i < len(text) && text[i] == '*' {
				i++
			}
			between := i-stars >= 2 && (stars == 0 || text[stars-1] == '/') && (i == len(text) || text[i] == '/')
			switch {
			case between && path && i < len(text): // "**/": any folders, or none
				b.WriteString(`(?:.*/)?`)
				i++
			case between && path:
				b.WriteString(`.*`)
			default:
				b.WriteString(`[^/]*`)
			}
			continue
		case '?':
			b.WriteString(`[^/]`)
		case '[':
			set, length, ok := readClass(text[i:])
			if !ok {
				return nothing
			}
			writeClass(&b, set)
			i += length
			continue
		case '\\':
			if i++; i == len(text) {
				return nothing
			}
			c = text[i]
			fallthrough
		default:
			fmt.Fprintf(&b, `\x{%x}`, c)
		}
		i++
	}
	b.WriteString(`$`)
	return regexp.MustCompile(b.String())
}

// class is a set of bytes.
type class [256]bool

func (c *class) add(first, last byte) {
	for b := int(first); b <= int(last); b++ {
		c[b] = true
	}
}

// readClass reads "[...]" at the beginning of text. One that does not end, or
// names a kind of character that there is not, makes its pattern match nothing.
func readClass(text string) (set class, length int, ok bool) {
	i := 1
	negated := i < len(text) && (text[i] == '!' || text[i] == '^')
	if negated {
		i++
	}
	previous := byte(0) // what a range may begin with
	for first := true; ; first = false {
		if i >= len(text) {
			return set, 0, false
		}
		c := text[i]
		switch {
		case c == ']' && !first:
			if negated {
				for b := range set {
					set[b] = !set[b]
				}
			}
			set['/'] = false
			return set, i + 1, true
		case c == '-' && previous != 0 && i+1 < len(text) && text[i+1] != ']':
			if i++; text[i] == '\\' {
				if i++; i == len(text) {
					return set, 0, false
				}
			}
			set.add(previous, text[i])
			previous = 0
			i++
			continue
		case c == '[' && strings.HasPrefix(text[i:], "[:"):
			name, _, found := strings.Cut(text[i+2:], "]")
			if !found {
				return set, 0, false
			}
			if kind, ended := strings.CutSuffix(name, ":"); ended {
				if !set.addKind(kind) {
					return set, 0, false
				}
				previous = 0
				i += len("[:") + len(name) + len("]")
				continue
			}
		case c == '\\':
			if i++; i == len(text) {
				return set, 0, false
			}
			c = text[i]
		}
		set[c] = true
		previous = c
		i++
	}
}

// addKind adds a class of ASCII characters by its name.
func (c *class) addKind(name string) bool {
	switch name {
	case "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit":
	default:
		return false
	}
	re := regexp.MustCompile("^[[:" + name + ":]]$")
	for b := range 0x80 {
		c[b] = c[b] || re.MatchString(string(rune(b)))
	}
	return true
}

// writeClass writes a set as a class of a regular expression.
func writeClass(b *strings.Builder, set class) {
	empty := true
	for first := 0; first < len(set); first++ {
		if !set[first] {
			continue
		}
		last := first
		for last+1 < len(set) && set[last+1] {
			last++
		}
		if empty {
			b.WriteByte('[')
			empty = false
		}
		fmt.Fprintf(b, `\x{%x}-\x{%x}`, first, last)
		first = last
	}
	if empty {
		b.WriteString(nothing.String())
		return
	}
	b.WriteByte(']')
}
