package node

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A voter that has no room for a content stays a voter. Until it has its copy the
// next machine on the ring keeps one in its place, without a vote: standIn after a
// store, repairStandIns when repair finds that a voter refuses.

const (
	standInGrace = 2 * time.Second  // that the answer to a store waits for a copy in another's place
	standInEvery = 10 * time.Minute // how often repair looks whether a name has its stand-ins
)

// stoodIn remembers for which names repair has looked. The zero value is ready; it
// may be used concurrently.
type stoodIn struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// due reports whether it is time to look at a name, and notes that somebody does.
func (s *stoodIn) due(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.until[name]) {
		return false
	}
	for old, until := range s.until { // few at a time, so that it stays small
		if now.After(until) {
			delete(s.until, old)
		}
	}
	if s.until == nil {
		s.until = map[string]time.Time{}
	}
	s.until[name] = now.Add(standInEvery)
	return true
}

// standIn notes in the reply to a store which voters could not take the content,
// and has others on the ring keep copies in place of those that are full or
// whose disks have failed. Such a copy has no vote, and goes like any that
// nobody counts on once all voters have theirs.
func (n *Node) standIn(ctx context.Context, reply *changeReply, o outcome, why map[MachineID]error) {
	if o.record.Deleted {
		return
	}
	reply.Lacking = n.lacking(&o.record, reply.Copies, why)
	need := 0
	for _, l := range reply.Lacking {
		if l.Reason == lackingSpace || l.Reason == lackingDegraded {
			need++
		}
	}
	if need == 0 {
		return
	}
	made := make(chan []MachineID, 1)
	if !n.tasks.run(func() {
		need += o.record.Wanted() - len(o.record.Voters.New)
		made <- n.makeBeyond(context.WithoutCancel(ctx), keepRequest{Record: o.record, At: o.view.Basis, Sources: o.acceptors}, need)
	}) {
		return
	}
	select {
	case l := <-made:
		reply.Copies = append(slices.Clone(o.acceptors), l...)
	case <-time.After(standInGrace): // it goes on
	}
}

// repairStandIns has copies kept in place of those that voters of a name lack and
// have refused lately. Those that stand in already are counted.
func (n *Node) repairStandIns(ctx context.Context, name string, target []MachineID) error {
	refuses := func(m MachineID, size int64) bool { return n.unfit.lately(m, size) != nil }
	own, err := n.store.Register(name)
	if err != nil || own.Record == nil {
		return err
	}
	some := false
	for _, m := range target {
		some = some || refuses(m, own.Record.Size)
	}
	if !some || !n.repair.stoodIn.due(name) {
		return nil
	}
	f, err := n.read(ctx, name)
	if err != nil {
		return err
	}
	rec := f.live()
	if rec == nil || !f.confirmed || rec.Voters.Joint() {
		return nil
	}
	var holders []MachineID
	need := 0
	states := n.statesAt(ctx, rec.Voters.New, *rec)
	for _, m := range rec.Voters.New {
		switch {
		case states[m] == Durable:
			holders = append(holders, m)
		case refuses(m, rec.Size):
			need++
		}
	}
	if need == 0 || len(holders) == 0 {
		return nil
	}
	need += rec.Wanted() - len(rec.Voters.New)
	made := n.makeBeyond(ctx, keepRequest{Record: *rec, At: f.view.Basis, Sources: holders, Repair: true}, need)
	if len(made) < need {
		return ErrTooFew
	}
	return nil
}
