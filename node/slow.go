package node

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A holder whose disk takes seconds for what should take milliseconds answers
// in the end, and gives signs of life meanwhile. Others are tried first.

const (
	startLimit = 3 * time.Second // for the first chunk, while others may be quicker
	slowFor    = time.Minute     // a source that was too slow is tried after the others for so long
)

// slowSources remembers sources that took too long. The zero value is ready.
type slowSources struct {
	mu    sync.Mutex
	until map[MachineID]time.Time
}

func (s *slowSources) note(m MachineID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[MachineID]time.Time{}
	}
	s.until[m] = time.Now().Add(slowFor)
}

func (s *slowSources) lately(m MachineID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.until[m])
}

// startLimit is how long the first chunk of a source may take: not long if
// there are others that may be quicker.
func (p *pull) startLimit() time.Duration {
	for _, c := range p.sources {
		if !p.node.slow.lately(c.machine) {
			return startLimit
		}
	}
	return chunkLimit
}

// retryLater keeps a source that was only slow for when no other is left.
func (p *pull) retryLater(m MachineID) {
	if p.node.slow.lately(m) && !p.resorted && !slices.Contains(p.slow, m) {
		p.slow = append(p.slow, m)
	}
}

// lastResorts are the sources to be tried when no other is left: those that
// were slow, and machines that may keep a copy in place of a voter.
func (p *pull) lastResorts() []MachineID {
	n := p.node
	l := n.following(p.ctx, p.record.Name, p.record.Voters)
	l = slices.DeleteFunc(l, func(m MachineID) bool { return m == n.self() || slices.Contains(p.slow, m) })
	return append(slices.Clone(p.slow), l[:min(len(l), spareHolders)]...)
}

// patienceWith is a timer that gives a source up when it takes too long.
func (n *Node) patienceWith(m MachineID, limit time.Duration, giveUp context.CancelFunc) *time.Timer {
	return time.AfterFunc(limit, func() {
		n.slow.note(m)
		giveUp()
	})
}
