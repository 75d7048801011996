package chord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrConfig reports a Config that New cannot use.
var ErrConfig = errors.New("chord: unusable configuration")

// Transport carries a request to the machine of to and brings its reply back.
// It returns when ctx ends, and fails soon where it can tell that nobody listens.
// It is called concurrently.
type Transport interface {
	Call(ctx context.Context, to Peer, req Request) (Reply, error)
}

// Config is what New needs. Zero values of the optional fields mean the defaults.
type Config struct {
	// Positions are this machine's own, one or more, all of one Machine.
	Positions []Peer
	// Transport reaches other machines.
	Transport Transport

	// Successors is how many other machines each successor list names. More
	// survive more simultaneous deaths, and make replies longer. Default 8, at
	// most 32.
	Successors int
	// Stabilize is the time from one round to the next, varied by a tenth.
	// Shorter notices a dead neighbour sooner; each round costs a position one
	// call. Default 800 ms: with the time-outs below, a peer that falls silent is
	// routed around within 3 s.
	Stabilize time.Duration
	// MinTimeout and MaxTimeout bound the time allowed for one try of a call,
	// which follows the peer's measured round trips (RFC 6298) and is twice
	// MinTimeout before any was measured. Defaults 250 ms and 1.5 s.
	MinTimeout, MaxTimeout time.Duration

	// Logger gets changes of neighbours at Debug. Default: nothing is logged.
	Logger *slog.Logger
	// Seed of all random choices: which remembered peer is asked, and when.
	Seed uint64
}

func (c Config) withDefaults() Config {
	if c.Successors == 0 {
		c.Successors = 8
	}
	if c.Stabilize == 0 {
		c.Stabilize = 800 * time.Millisecond
	}
	if c.MinTimeout == 0 {
		c.MinTimeout = 250 * time.Millisecond
	}
	if c.MaxTimeout == 0 {
		c.MaxTimeout = max(1500*time.Millisecond, c.MinTimeout)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case len(c.Positions) == 0:
		return fmt.Errorf("%w: no positions", ErrConfig)
	case c.Transport == nil:
		return fmt.Errorf("%w: no transport", ErrConfig)
	case c.Successors < 1 || c.Successors > 32:
		return fmt.Errorf("%w: %d successors, not 1 to 32", ErrConfig, c.Successors)
	case c.Stabilize <= 0 || c.MinTimeout <= 0 || c.MaxTimeout < c.MinTimeout:
		return fmt.Errorf("%w: intervals must be positive, MinTimeout at most MaxTimeout", ErrConfig)
	}
	seen := make(map[ID]bool)
	for _, p := range c.Positions {
		switch {
		case p.Machine != c.Positions[0].Machine:
			return fmt.Errorf("%w: positions of more than one machine", ErrConfig)
		case p.Machine == MachineID{}:
			return fmt.Errorf("%w: position %s has no machine", ErrConfig, p.ID.Short())
		case seen[p.ID]:
			return fmt.Errorf("%w: position %s twice", ErrConfig, p.ID.Short())
		case len(p.Addr) > maxAddr:
			return fmt.Errorf("%w: an address of %d bytes", ErrConfig, len(p.Addr))
		}
		seen[p.ID] = true
	}
	return nil
}
