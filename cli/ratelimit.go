package cli

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/time/rate"
)

// byteRate is a flag that takes "5MiB/s"; zero is no limit.
type byteRate struct{ perSecond byteSize }

// Set reads a size, with or without "/s".
func (r *byteRate) Set(s string) error {
	if r.perSecond.Set(strings.TrimSuffix(s, "/s")) != nil {
		return fmt.Errorf("%q is no rate; write it like 5MiB/s", s)
	}
	return nil
}

// String is the rate in bytes a second; nothing for zero.
func (r *byteRate) String() string { return r.perSecond.String() }

// Type is what the help calls it.
func (r *byteRate) Type() string { return "rate" }

// limitBurst is the most that is sent at once under a limit.
const limitBurst = 64 << 10

// limiter returns nil for no limit.
func (r *byteRate) limiter() *rate.Limiter {
	if r.perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(r.perSecond), limitBurst)
}

// limitedReader reads no faster than wait allows.
type limitedReader struct {
	r    io.Reader
	wait func(n int) error // until n bytes may pass
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), limitBurst)])
	if n > 0 {
		if err := l.wait(n); err != nil {
			return 0, err
		}
	}
	return n, err
}
