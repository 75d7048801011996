package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// params reads query parameters and keeps the first thing that is wrong.
type params struct {
	values url.Values
	err    error
}

func paramsOf(r *http.Request) *params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &params{values: values}
	if err != nil {
		p.fail("query", err)
	}
	return p
}

func (p *params) fail(key string, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s: %w", ErrUsage, key, err)
	}
}

func (p *params) text(key string) string { return p.values.Get(key) }

// name is the file's name; it must be there.
func (p *params) name() string {
	name := p.values.Get("name")
	if err := filestore.ValidateName(name); err != nil && p.err == nil {
		p.err = err
	}
	return name
}

func (p *params) flag(key string) bool {
	return parse(p, key, strconv.ParseBool)
}

func (p *params) int64(key string) int64 {
	return parse(p, key, func(s string) (int64, error) {
		n, err := strconv.ParseUint(s, 10, 63)
		return int64(n), err
	})
}

func (p *params) uint64(key string) uint64 {
	return parse(p, key, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
}

// small is a count that nobody needs to be great.
func (p *params) small(key string) int {
	return parse(p, key, func(s string) (int, error) {
		n, err := strconv.ParseUint(s, 10, 16)
		return int(n), err
	})
}

// octal is permission bits.
func (p *params) octal(key string) uint32 {
	return parse(p, key, func(s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 8, 12)
		return uint32(n), err
	})
}

func (p *params) time(key string) time.Time {
	return parse(p, key, func(s string) (time.Time, error) { return time.Parse(time.RFC3339Nano, s) })
}

func (p *params) duration(key string) time.Duration {
	return parse(p, key, time.ParseDuration)
}

func (p *params) op(key string) filestore.OpID {
	return parse(p, key, func(s string) (op filestore.OpID, err error) {
		err = op.UnmarshalText([]byte(s))
		return op, err
	})
}

// parse reads key with f; a parameter that is not given is the zero value.
func parse[T any](p *params, key string, f func(string) (T, error)) T {
	var zero T
	s := p.values.Get(key)
	if s == "" {
		return zero
	}
	v, err := f(s)
	if err != nil {
		p.fail(key, err)
		return zero
	}
	return v
}
