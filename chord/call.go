package chord

import (
	"context"
	"fmt"
	"time"
)

// call asks to, waiting at most tries time-outs, and notes how it went. The
// duration is the last try's. A reply that refuses comes with the error that
// Reply.Err gives.
func (r *Ring) call(ctx context.Context, to Peer, req Request, tries int) (Reply, time.Duration, error) {
	if to.Machine == r.self {
		reply, err := r.Handle(ctx, req)
		if err == nil {
			err = reply.Err()
		}
		return reply, 0, err
	}
	var rtt time.Duration
	var err error
	for range tries {
		var reply Reply
		if reply, rtt, err = r.try(ctx, to, req); err == nil {
			return reply, rtt, reply.Err()
		}
		if ctx.Err() != nil {
			return Reply{}, rtt, err
		}
	}
	r.doubt(to.Machine)
	return Reply{}, rtt, fmt.Errorf("ask %s for %s: %w", to.ID.Short(), req.Kind, err)
}

// try makes one call with the peer's present time-out.
func (r *Ring) try(ctx context.Context, to Peer, req Request) (Reply, time.Duration, error) {
	r.mu.Lock()
	timeout := r.book.timeout(to)
	r.mu.Unlock()

	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	reply, err := r.transport.Call(limited, to, req)
	now := time.Now()
	if err == nil {
		err = reply.validate()
	}
	if err == nil && reply.Refusal == NotRefused && reply.From.ID != to.ID {
		err = fmt.Errorf("%w: answer from %s", ErrBadMessage, reply.From.ID.Short())
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && reply.Refusal != NotRefused:
		h := r.book.of(to.Machine) // there, but not as this position
		h.heard, h.silent = now, time.Time{}
	case err == nil:
		r.book.heard(reply.From, max(now.Sub(start), 1), now)
	case ctx.Err() == nil:
		r.book.missed(to, now)
	}
	return reply, now.Sub(start), err
}

// doubt has the positions here ask their neighbours on that machine at once.
func (r *Ring) doubt(id MachineID) {
	for _, m := range r.machines {
		r.with(m, func() { m.doubt(id) })
	}
}
