package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
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
	unanswered := errors.Is(err, transfer.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, chord.ErrUnreachable)
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

// answering are those of some machines that did not fail to answer a moment ago.
// The others are asked all the same, and not waited for where these do.
func (n *Node) answering(of []MachineID) map[MachineID]bool {
	l := map[MachineID]bool{}
	for _, m := range of {
		if !n.silence.of(m) {
			l[m] = true
		}
	}
	return l
}

// awaiting is whose answers are still to come.
type awaiting struct {
	all       map[MachineID]bool
	answering map[MachineID]bool // of them, those that did not fail to answer a moment ago
}

func (n *Node) awaiting(to []MachineID) awaiting {
	w := awaiting{map[MachineID]bool{}, n.answering(to)}
	for _, m := range to {
		w.all[m] = true
	}
	return w
}

// came notes an answer and reports whether only machines are left that failed to
// answer a moment ago.
func (w awaiting) came(m MachineID) (onlySilent bool) {
	delete(w.all, m)
	delete(w.answering, m)
	return w.onlySilent()
}

func (w awaiting) onlySilent() bool { return len(w.answering) == 0 }

// passOver counts those that are left as silent, for as long as that leaves it open
// what came of the question.
func passOver[T comparable](w awaiting, open T, onSilence func(MachineID) T) T {
	for m := range w.all {
		if is := onSilence(m); is != open {
			return is
		}
	}
	return open
}

// mayAgree reports whether enough of a name's voters may answer.
func (n *Node) mayAgree(v filestore.Voters) bool {
	return register.Quorum(v, func(m MachineID) bool { return !n.silence.of(m) })
}
