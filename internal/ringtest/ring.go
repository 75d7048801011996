package ringtest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/memnet"
	"github.com/dhtfs/dhtfs/node"
)

// logVariable has the nodes' logs printed, from Debug on, when it is not empty.
const logVariable = "DHTFS_TEST_LOG"

// Options describe a ring. The zero value is a ring of no members with the
// product's own settings, on a network without delays.
type Options struct {
	Nodes         int  // members to begin with
	N, W, R       int  // of the ring; zero: the product's
	VNodes        int  // positions of each member; zero: one
	AtOnce        bool // all but the founder join together, which takes less time
	Seed          uint64
	Timing        node.Timing
	Delay, Jitter time.Duration // of every message
}

// Ring is a ring under test. Its methods are for the test's goroutine but for
// those of the ledger, which may be called concurrently.
type Ring struct {
	Net     *memnet.Network
	Members []*Member // all there ever were, in the order they joined

	t       *testing.T
	opts    Options
	rng     *rand.Rand
	logger  *slog.Logger
	started time.Time
	ledger  ledger
}

// Test runs f with a new ring in a bubble, then checks the ring and ends it.
// The test must not be parallel.
func Test(t *testing.T, o Options, f func(t *testing.T, r *Ring)) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, o.Seed)
	bubble.Test(t, func(t *testing.T) {
		r := start(t, o)
		defer r.close()
		f(t, r)
		if !t.Failed() {
			r.Check()
		}
	})
}

func start(t *testing.T, o Options) *Ring {
	t.Helper()
	r := &Ring{
		t: t, opts: o, Net: memnet.New(o.Seed), rng: rand.New(rand.NewPCG(o.Seed, 2)),
		logger: slog.New(slog.DiscardHandler), started: time.Now(),
		ledger: ledger{content: map[string][]byte{}},
	}
	if os.Getenv(logVariable) != "" {
		r.logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{
			Level: slog.LevelDebug, ReplaceAttr: r.elapsed,
		}))
	}
	r.Net.SetDelays(o.Delay, o.Jitter)
	if o.AtOnce && o.Nodes > 0 {
		r.Join()
		r.JoinAtOnce(o.Nodes - 1)
		return r
	}
	for range o.Nodes {
		r.Join()
	}
	return r
}

// elapsed replaces the time of a log line by that since the ring was started.
func (r *Ring) elapsed(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.String("at", a.Value.Time().Sub(r.started).String())
	}
	return a
}

// Join adds a member, the first as founder, and waits until it is ready.
func (r *Ring) Join() *Member {
	r.t.Helper()
	m := r.Admit()
	r.Start(m)
	r.Ready(m)
	return m
}

// JoinAtOnce adds members that start at one instant, and waits until all are ready.
func (r *Ring) JoinAtOnce(count int) {
	r.t.Helper()
	var joined []*Member
	for range count {
		joined = append(joined, r.Admit())
	}
	for _, m := range joined {
		r.Start(m)
	}
	r.Ready(joined...)
}

// Admit adds a member that is not started yet, by an invite of the founder's.
func (r *Ring) Admit() *Member {
	r.t.Helper()
	if len(r.Members) > 0 {
		return r.AdmitBy(r.Members[0])
	}
	return r.AdmitBy(nil)
}

// AdmitBy is Admit by another issuer; the first member founds the ring.
func (r *Ring) AdmitBy(issuer *Member) *Member {
	r.t.Helper()
	m := &Member{Host: fmt.Sprintf("host-%02d", len(r.Members)), Disk: newDisk(), ring: r}
	var err error
	if len(r.Members) == 0 {
		m.Membership, err = node.Found("", node.RingOptions{
			Name: "test", Label: m.Host, N: r.opts.N, W: r.opts.W, R: r.opts.R, VNodes: r.opts.VNodes,
		})
	} else {
		token, _, inviteErr := issuer.Invite(time.Hour, 1)
		require.NoError(r.t, inviteErr)
		m.Membership, err = node.Join(r.t.Context(), node.JoinOptions{
			Token: token, Label: m.Host, VNodes: r.opts.VNodes, Dial: r.Net.Dialer(m.Host),
		})
	}
	require.NoError(r.t, err)
	r.Members = append(r.Members, m)
	return m
}

// Ready waits until members are in their places and have compared their files.
func (r *Ring) Ready(members ...*Member) {
	r.t.Helper()
	for _, m := range members {
		ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute)
		require.NoError(r.t, m.WaitReady(ctx), m.Host)
		cancel()
	}
}

// Settled waits until every member that runs knows those that follow it on the
// ring, all of them where there are few.
func (r *Ring) Settled() {
	r.t.Helper()
	up := r.Up()
	r.Eventually(time.Minute, "all know who follows", func() bool {
		for _, m := range up {
			for _, p := range m.Fingers() {
				if len(p.Successors) < min(len(up)-1, 8) {
					return false
				}
			}
		}
		return true
	})
}

// Up are the members that run, in the order they joined.
func (r *Ring) Up() []*Member {
	return slices.DeleteFunc(slices.Clone(r.Members), func(m *Member) bool { return !m.Running() })
}

// Others are the members that run, without those given.
func (r *Ring) Others(not ...*Member) []*Member {
	return slices.DeleteFunc(r.Up(), func(m *Member) bool { return slices.Contains(not, m) })
}

// Member is the one with a machine ID.
func (r *Ring) Member(id node.MachineID) *Member {
	for _, m := range r.Members {
		if m.Membership.Machine() == id {
			return m
		}
	}
	return nil
}

// Hosts names the hosts of members, for Net's methods.
func Hosts(members ...*Member) []string {
	l := make([]string, len(members))
	for i, m := range members {
		l[i] = m.Host
	}
	return l
}

// Eventually waits, in virtual time, until a condition holds, and fails the test
// when it does not within limit.
func (r *Ring) Eventually(limit time.Duration, what string, holds func() bool) {
	r.t.Helper()
	r.within(limit, holds, func() string { return what })
}

func (r *Ring) within(limit time.Duration, holds func() bool, what func() string) {
	r.t.Helper()
	began := time.Now()
	for end := began.Add(limit); ; {
		synctest.Wait()
		if holds() {
			return
		}
		if time.Now().After(end) {
			require.FailNow(r.t, "not within "+limit.String()+": "+what())
		}
		time.Sleep(max(100*time.Millisecond, time.Since(began)/20)) // looks cost more than anything that they wait for
	}
}

// close ends all members.
func (r *Ring) close() {
	for _, m := range r.Up() {
		r.Stop(m)
	}
}
