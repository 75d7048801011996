package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// silenceFor is how long a machine that did not answer is not asked again for
// what can wait. Waiting for it costs callTimeout each time.
const silenceFor = 10 * time.Second

// silence remembers which machines did not answer lately. The zero value is
// ready; it may be used concurrently.
type silence struct {
	mu    sync.Mutex
	since map[MachineID]time.Time
}

// note takes the outcome of a call to a machine.
func (s *silence) note(m MachineID, err error) {
	unanswered := errors.Is(err, transfer.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !unanswered {
		delete(s.since, m)
		return
	}
	if s.since == nil {
		s.since = map[MachineID]time.Time{}
	}
	s.since[m] = time.Now()
}

// of reports whether a machine did not answer when it was last asked, a moment ago.
func (s *silence) of(m MachineID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, ok := s.since[m]
	return ok && time.Since(since) < silenceFor
}

// mayAgree reports whether enough of a name's voters may answer.
func (n *Node) mayAgree(v filestore.Voters) bool {
	return register.Quorum(v, func(m MachineID) bool { return !n.silence.of(m) })
}
