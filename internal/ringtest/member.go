package ringtest

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// Member is a machine that is a member of the ring, whether it runs or not.
// While it does not, the embedded node is the one that has ended.
type Member struct {
	*node.Node
	Membership *node.Membership
	Host       string // on the network, and its label
	Addr       string // where it listens; empty: at a new port the next time it starts
	Disk       *Disk
	Skew       time.Duration // how far its clock is ahead, from the next start on

	ring *Ring
	run  *run // nil: it does not run
}

// run is one life of a node.
type run struct {
	cancel context.CancelFunc
	ended  chan error
	dead   atomic.Bool // it crashed: nothing that it still does reaches anybody
}

// Running reports whether the member runs.
func (m *Member) Running() bool { return m.run != nil }

// Start starts a member, at its address unless that was taken from it.
func (r *Ring) Start(m *Member) {
	r.t.Helper()
	require.Nil(r.t, m.run, "%s runs", m.Host)
	r.Net.Up(m.Host)
	listener, err := r.Net.Listen(cmp.Or(m.Addr, net.JoinHostPort(m.Host, "0")))
	require.NoError(r.t, err)
	m.Addr = listener.Addr().String()
	life := &run{ended: make(chan error, 1)}
	dial, skew := r.Net.Dialer(m.Host), m.Skew
	m.Node, err = node.New(node.Config{
		Membership: m.Membership, Listener: listener, Disk: m.Disk, Version: "test",
		Timing: r.opts.Timing, Logger: r.logger.With("at-node", m.Host),
		Now: func() time.Time { return time.Now().Add(skew) },
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if life.dead.Load() {
				return nil, syscall.ENETDOWN
			}
			return dial(ctx, network, address)
		},
	})
	require.NoError(r.t, err)
	var ctx context.Context
	ctx, life.cancel = context.WithCancel(context.Background())
	n := m.Node
	go func() { life.ended <- n.Run(ctx) }()
	m.run = life
}

// Stop ends a member as its daemon does when it is told to.
func (r *Ring) Stop(m *Member) {
	r.t.Helper()
	m.run.cancel()
	r.Ended(m)
}

// Ended waits until a member that has been told to end, or that has logged out,
// has ended.
func (r *Ring) Ended(m *Member) {
	r.t.Helper()
	assert.NoError(r.t, <-m.run.ended, m.Host)
	m.run.cancel()
	m.run = nil
}

// EndedWith waits until a member has ended by itself, and returns why.
func (r *Ring) EndedWith(m *Member) error {
	r.t.Helper()
	var err error
	select {
	case err = <-m.run.ended:
	case <-time.After(time.Minute):
		require.FailNow(r.t, m.Host+" has not ended")
	}
	m.run.cancel()
	m.run = nil
	return err
}

var errPower = errors.New("no power")

// Crash ends members at one instant as if their power had failed, but for that
// connections to them are reset. Their disks keep what was synced and as much
// of the rest as the seed says.
func (r *Ring) Crash(members ...*Member) {
	r.t.Helper()
	r.crash(r.Net.Kill, members)
}

// Blackout is Crash without the resets: who has a connection to one of the
// members is told nothing until it starts again.
func (r *Ring) Blackout(members ...*Member) {
	r.t.Helper()
	r.crash(r.Net.Down, members)
}

func (r *Ring) crash(unplug func(host string), members []*Member) {
	r.t.Helper()
	for _, m := range members {
		require.NotNil(r.t, m.run, "%s does not run", m.Host)
		m.run.dead.Store(true)
		m.Disk.SetFault(func(filestore.Op, string) error { return errPower })
		unplug(m.Host)
		m.run.cancel()
	}
	for _, m := range members {
		if err := <-m.run.ended; err != nil {
			r.t.Logf("%s ended: %v", m.Host, err) // whatever the disk gave
		}
		m.run = nil
		m.Disk.Crash(r.rng)
		m.Disk.SetFault(nil)
	}
}

// Lose is Crash for members whose disks are lost too: they may be started with
// empty ones.
func (r *Ring) Lose(members ...*Member) {
	r.t.Helper()
	r.Crash(members...)
	for _, m := range members {
		m.Disk = newDisk()
	}
}
