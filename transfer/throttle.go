package transfer

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many handshakes are begun in a second, and how many at once after a pause.
// One takes about a millisecond of a processor, so that strangers can have some hundredths
// of one. A network that a member came from may have hundreds of them, behind one
// address, that all come back at once.
const (
	familiarRate, familiarBurst = 50, 300 // from one network that a member came from
	strangeRate, strangeBurst   = 10, 60  // from any other
	strangersRate               = 30      // from all others together
	strangersBurst              = 300
	maxTurn                     = time.Second
	maxNetworks                 = 4096 // of each kind, the latest, are remembered at least
)

var errCrowded = errors.New("too many handshakes")

// throttle makes those who would shake hands wait for their turn, since that is
// dear. Each network has a rate of its own; those from which no member has come
// yet share another one besides, so that however many they are, they do not take
// the time of those who are known.
type throttle struct {
	strangers *rate.Limiter

	mu                sync.Mutex
	strange, familiar networks
}

func newThrottle() *throttle {
	return &throttle{
		strangers: rate.NewLimiter(strangersRate, strangersBurst),
		strange:   networks{rate: strangeRate, burst: strangeBurst},
		familiar:  networks{rate: familiarRate, burst: familiarBurst},
	}
}

// wait returns nil when a connection from the network may shake hands, an error at
// once if that would not be within maxTurn, and an error when ctx ends. Were more
// let wait, they would push one another out before their turn came.
func (t *throttle) wait(ctx context.Context, from network) error {
	turn, delay, err := t.reserve(from)
	if err != nil {
		return err
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		turn.cancel(time.Now())
		return ctx.Err()
	}
}

// reserve returns a turn for a connection from the network, and how long it is to
// wait for it. Limiters are told the time with t.mu held, since one that hears of
// an earlier time after a later one gives away more than its rate
// (go.dev/issue/71360): in a crowd, of all times.
func (t *throttle) reserve(from network) (turn, time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	limiters := make([]*rate.Limiter, 0, 2)
	if own, known := t.familiar.find(from); known {
		limiters = append(limiters, own)
	} else {
		limiters = append(limiters, t.strange.limiter(from), t.strangers)
	}
	var taken turn
	var delay time.Duration
	now := time.Now()
	for _, l := range limiters {
		r := l.ReserveN(now, 1)
		taken = append(taken, r)
		delay = max(delay, r.DelayFrom(now))
	}
	if delay > maxTurn {
		taken.cancel(now)
		return nil, 0, errCrowded
	}
	return taken, delay, nil
}

// turn is what was taken of each limiter for one handshake.
type turn []*rate.Reservation

// cancel gives back a turn that is not used.
func (t turn) cancel(now time.Time) {
	for _, r := range t {
		r.CancelAt(now)
	}
}

// meet notes that a member was reached at a network, or came from it.
func (t *throttle) meet(at network) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.familiar.limiter(at)
}

// networks has a limiter for each network that was seen lately: at least for the
// last maxNetworks, at most for twice as many.
type networks struct {
	rate     rate.Limit
	burst    int
	now, old map[network]*rate.Limiter
}

// find returns the limiter of a network that is remembered.
func (n *networks) find(of network) (l *rate.Limiter, ok bool) {
	if l, ok = n.now[of]; ok {
		return l, true
	}
	if l, ok = n.old[of]; ok {
		n.add(of, l)
	}
	return l, ok
}

// limiter returns the limiter of any network.
func (n *networks) limiter(of network) *rate.Limiter {
	l, ok := n.find(of)
	if !ok {
		l = rate.NewLimiter(n.rate, n.burst)
		n.add(of, l)
	}
	return l
}

// add forgets those that were not seen since the last maxNetworks others, when there
// are as many.
func (n *networks) add(of network, l *rate.Limiter) {
	if n.now == nil || len(n.now) >= maxNetworks {
		n.now, n.old = make(map[network]*rate.Limiter), n.now
	}
	n.now[of] = l
}
