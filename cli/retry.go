package cli

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/dhtfs/dhtfs/node/api"
)

// The longest pauses between attempts.
const (
	longestPause = 8 * time.Second // at one thing
	longestRest  = 3 * time.Second // between rounds: each is for many files, some of which can do with less
)

// retry calls try until it succeeds, fails for good, or limit is over, with
// growing random pauses. again, unless nil, hears of each failure that is
// followed by another attempt.
func retry(ctx context.Context, limit time.Duration, again func(error), try func(attempt int) error) error {
	return retryAfter(ctx, 0, longestPause, limit, again, try)
}

// retryAfter is retry after some attempts, with pauses that do not grow beyond longest.
func retryAfter(ctx context.Context, attempts int, longest, limit time.Duration, again func(error), try func(attempt int) error) error {
	attempt := 0
	last := error(nil)
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = try(attempt)
		attempt++
		if last != nil && (ctx.Err() != nil || !passing(last, attempts+attempt)) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 250 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: longest,
		}),
		backoff.WithMaxElapsedTime(max(limit, 1)),
		backoff.WithNotify(func(err error, _ time.Duration) {
			if again != nil {
				again(err)
			}
		}))
	if err != nil && last != nil {
		return last
	}
	return err
}

// final is an error after which there is no other attempt.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// passing reports whether an error may be gone at the next attempt. That no
// daemon runs counts only after one was there.
func passing(err error, attempt int) bool {
	if _, ok := errors.AsType[final](err); ok {
		return false
	}
	switch api.Describe(err).ID {
	case "unavailable", "outcome_unknown", "not_ready", "leaving", "interrupted", "unreachable", "busy", "timeout", "daemon_gone":
		return true
	case "no_daemon":
		return attempt > 1
	}
	return false
}
