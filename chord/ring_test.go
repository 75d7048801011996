package chord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// network joins Rings in memory. A machine that is silent lets calls hang, as
// one that is stopped does; one that is down refuses them.
type network struct {
	mu     sync.Mutex
	rings  map[string]*Ring // by address
	silent map[string]bool
	apart  map[string]bool // those that cannot talk to each other, while they can to the rest
	calls  int
}

var errRefused = errors.New("connection refused")

func (n *network) Call(ctx context.Context, to Peer, req Request) (Reply, error) {
	n.mu.Lock()
	n.calls++
	ring, silent := n.rings[to.Addr], n.silent[to.Addr] || n.silent[req.From.Addr] || n.apart[to.Addr] && n.apart[req.From.Addr]
	n.mu.Unlock()
	if silent {
		<-ctx.Done()
		return Reply{}, ctx.Err()
	}
	select {
	case <-time.After(2 * time.Millisecond):
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
	if ring == nil {
		return Reply{}, errRefused
	}
	return ring.Handle(ctx, req)
}

// daemon is a running Ring.
type daemon struct {
	*Ring
	peer Peer
	stop func() // ends Run and waits for it
}

func (n *network) boot(t *testing.T, config Config, known ...Peer) *daemon {
	t.Helper()
	config.Transport = n
	ring, err := New(config)
	require.NoError(t, err)
	ring.Remember(known...)
	addr := config.Positions[0].Addr
	n.mu.Lock()
	n.rings[addr] = ring
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ring.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		n.mu.Lock()
		delete(n.rings, addr)
		n.mu.Unlock()
		cancel()
		assert.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return &daemon{ring, config.Positions[0], stop}
}

func (n *network) hush(d *daemon, silent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent[d.peer.Addr] = silent
}

// part has these not talk to each other.
func (n *network) part(all ...*daemon) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart = map[string]bool{}
	for _, d := range all {
		n.apart[d.peer.Addr] = true
	}
}

func (n *network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls
}

func peerAt(i int) Peer {
	p := Peer{ID: KeyOf(fmt.Sprint("position ", i)), Addr: fmt.Sprint("machine-", i)}
	p.Machine = MachineID{byte(i + 1)}
	return p
}

// cluster boots so many daemons and waits until all agree. They are in the order
// of the ring.
func cluster(t *testing.T, size int) (*network, []*daemon) {
	n := &network{rings: make(map[string]*Ring), silent: make(map[string]bool)}
	var all []*daemon
	for i := range size {
		all = append(all, n.boot(t, Config{Positions: []Peer{peerAt(i)}, Seed: uint64(i)}, peerAt(0)))
		require.NoError(t, all[i].WaitPlaced(t.Context()))
	}
	time.Sleep(20 * time.Second)
	synctest.Wait()
	slices.SortFunc(all, func(a, b *daemon) int { return a.peer.ID.Compare(b.peer.ID) })
	for i, d := range all {
		p := d.Positions()[0]
		require.True(t, d.Placed())
		require.Equal(t, all[(i+1)%size].peer, p.Successors[0])
		require.Equal(t, all[(i+size-1)%size].peer, *p.Predecessor)
		require.Len(t, p.Successors, min(8, size-1))
	}
	return n, all
}

// owner is the oracle: the first of all at or after key.
func owner(all []*daemon, key ID) int {
	i, _ := slices.BinarySearchFunc(all, key, func(d *daemon, key ID) int { return d.peer.ID.Compare(key) })
	return i % len(all)
}

func TestRingLooksUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, all := cluster(t, 20)
		hops := 0
		for i := range 200 {
			key := KeyOf(fmt.Sprint("key ", i))
			want := owner(all, key)
			l, err := all[i%len(all)].Lookup(t.Context(), key)
			require.NoError(t, err)
			assert.Equal(t, all[want].peer, l.Owner)
			assert.Equal(t, all[(want+len(all)-1)%len(all)].peer.ID, l.After)
			assert.Equal(t, []Peer{all[want].peer, all[(want+1)%len(all)].peer, all[(want+2)%len(all)].peer}, l.Group(3))
			if len(l.Hops) > 0 {
				last := l.Hops[len(l.Hops)-1]
				assert.Equal(t, l.Owner, last.Peer)
				assert.NoError(t, last.Err)
				assert.Positive(t, last.RTT)
			}
			hops += len(l.Hops)
		}
		assert.Less(t, hops, 300, "a small ring needs about one hop a lookup")
	})
}

// Once a node has heard of all others, each lookup is at most one round trip: it
// asks the owner itself. The network takes 2 ms, and nothing else takes time here.
func TestWarmLookupsAreOneRoundTrip(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, all := cluster(t, 32)
		by := all[5]
		for i := range 400 {
			_, err := by.Lookup(t.Context(), KeyOf(fmt.Sprint("warm ", i)))
			require.NoError(t, err)
		}
		for i := range 300 {
			key := KeyOf(fmt.Sprint("key ", i))
			start := time.Now()
			l, err := by.Lookup(t.Context(), key)
			require.NoError(t, err)
			assert.Equal(t, all[owner(all, key)].peer, l.Owner)
			assert.LessOrEqual(t, len(l.Hops), 1, key)
			assert.LessOrEqual(t, time.Since(start), 2*time.Millisecond, key)
		}
	})
}

func TestRingOfOne(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := &network{rings: make(map[string]*Ring)}
		d := n.boot(t, Config{Positions: []Peer{peerAt(0)}})
		require.NoError(t, d.WaitPlaced(t.Context()))
		l, err := d.Lookup(t.Context(), KeyOf("any"))
		require.NoError(t, err)
		assert.Equal(t, Lookup{Key: KeyOf("any"), Owner: d.peer, After: d.peer.ID}, l)
		assert.Empty(t, d.Positions()[0].Successors)
		time.Sleep(time.Minute)
		assert.Zero(t, n.count(), "it has nobody to talk to")
	})
}

func TestRingNoticesSilenceWithinThreeSeconds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n, all := cluster(t, 12)
		dead, heir := all[4], all[5]
		n.hush(dead, true)
		time.Sleep(3 * time.Second)
		for i, d := range all {
			if d == dead {
				continue
			}
			l, err := d.Lookup(t.Context(), dead.peer.ID)
			require.NoError(t, err, i)
			assert.Equal(t, heir.peer, l.Owner)
		}
		assert.False(t, all[3].Alive(dead.peer.Machine))
		rtt, heard, ok := all[3].RTT(dead.peer.Machine)
		assert.True(t, ok)
		assert.Equal(t, 2*time.Millisecond, rtt)
		assert.Greater(t, time.Since(heard), 2*time.Second)

		n.hush(dead, false)
		time.Sleep(5 * time.Second)
		l, err := all[0].Lookup(t.Context(), dead.peer.ID)
		require.NoError(t, err)
		assert.Equal(t, dead.peer, l.Owner, "taken back")
	})
}

// A lookup that meets the dead waits until the ring has healed.
func TestLookupOutlivesAFailure(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n, all := cluster(t, 12)
		n.hush(all[4], true)
		l, err := all[9].Lookup(t.Context(), all[4].peer.ID)
		require.NoError(t, err)
		assert.Equal(t, all[5].peer, l.Owner)
	})
}

func TestRingLeave(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, all := cluster(t, 6)
		for _, d := range all {
			select {
			case <-d.Changed():
			default:
			}
		}
		require.NoError(t, all[2].Leave(t.Context()))
		time.Sleep(50 * time.Millisecond)
		assert.Equal(t, all[3].peer, all[1].Positions()[0].Successors[0])
		assert.Equal(t, all[1].peer, *all[3].Positions()[0].Predecessor)
		for _, i := range []int{1, 3} {
			select {
			case <-all[i].Changed():
			default:
				t.Errorf("%d was not told of the change", i)
			}
		}
		time.Sleep(10 * time.Second)
		l, err := all[2].Lookup(t.Context(), all[2].peer.ID)
		require.NoError(t, err, "it can still look up")
		assert.Equal(t, all[3].peer, l.Owner, "and is nobody's successor, though it runs")
	})
}

func TestRestartAtAnotherAddress(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n, all := cluster(t, 5)
		all[1].stop()
		moved := all[1].peer
		moved.Addr = "moved"
		n.boot(t, Config{Positions: []Peer{moved}}, all[3].peer)
		time.Sleep(10 * time.Second)
		for i, d := range all {
			if i == 1 {
				continue
			}
			l, err := d.Lookup(t.Context(), moved.ID)
			require.NoError(t, err)
			assert.Equal(t, moved, l.Owner)
			for _, p := range d.Positions()[0].Successors {
				assert.False(t, p.ID == moved.ID && p.Addr != moved.Addr, "the old address")
			}
		}
	})
}

// Positions of one machine count as one, and reach each other without a network.
func TestSeveralPositions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n := &network{rings: make(map[string]*Ring)}
		var ds []*daemon
		for i := range 3 {
			var positions []Peer
			for j := range 4 {
				p := peerAt(i)
				p.ID = KeyOf(fmt.Sprint(i, ":", j))
				positions = append(positions, p)
			}
			var known []Peer
			if i > 0 {
				known = append(known, ds[0].peer)
			}
			ds = append(ds, n.boot(t, Config{Positions: positions, Successors: 2}, known...))
			require.NoError(t, ds[i].WaitPlaced(t.Context()))
		}
		time.Sleep(20 * time.Second)
		for _, d := range ds {
			for _, p := range d.Positions() {
				assert.Equal(t, 2, machinesIn(p.Self, p.Successors), "lists go on until they name two other machines")
			}
			for i := range 20 {
				l, err := d.Lookup(t.Context(), KeyOf(fmt.Sprint("key", i)))
				require.NoError(t, err)
				assert.Len(t, l.Group(3), 3)
			}
		}
	})
}

func TestRingAfterRun(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, all := cluster(t, 3)
		require.ErrorIs(t, all[0].Run(t.Context()), ErrClosed, "while it runs")
		ping := Request{Kind: KindPing, To: all[0].peer.ID, From: all[1].peer}
		reply, err := all[0].Handle(t.Context(), ping)
		require.NoError(t, err)
		require.NoError(t, reply.Err())

		elsewhere := ping
		elsewhere.To = ID{1}
		reply, err = all[0].Handle(t.Context(), elsewhere)
		require.NoError(t, err)
		require.ErrorIs(t, reply.Err(), ErrNotHere)

		huge := ping
		huge.Successors = make([]Peer, maxList+1)
		_, err = all[0].Handle(t.Context(), huge)
		require.ErrorIs(t, err, ErrBadMessage)

		all[0].stop()
		_, err = all[0].Handle(t.Context(), ping)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, all[0].Run(t.Context()), ErrClosed)
	})
}

func TestLookupGivesUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n, all := cluster(t, 4)
		for _, d := range all[1:] {
			n.hush(d, true)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := all[0].Lookup(ctx, all[2].peer.ID)
		require.ErrorIs(t, err, ErrUnreachable)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		unplaced, err := New(Config{Positions: []Peer{peerAt(9)}, Transport: n})
		require.NoError(t, err)
		_, err = unplaced.Lookup(t.Context(), ID{1})
		require.ErrorIs(t, err, ErrUnreachable, "without peers it ends by itself")
		require.ErrorIs(t, unplaced.WaitPlaced(ctx), context.DeadlineExceeded)
	})
}

func TestConfig(t *testing.T) {
	good := func() Config { return Config{Positions: []Peer{peerAt(0)}, Transport: &network{}} }
	_, err := New(good())
	require.NoError(t, err)
	for name, spoil := range map[string]func(*Config){
		"no positions":   func(c *Config) { c.Positions = nil },
		"no transport":   func(c *Config) { c.Transport = nil },
		"two machines":   func(c *Config) { c.Positions = append(c.Positions, peerAt(1)) },
		"one ID twice":   func(c *Config) { c.Positions = append(c.Positions, peerAt(0)) },
		"no machine":     func(c *Config) { c.Positions[0].Machine = MachineID{} },
		"long address":   func(c *Config) { c.Positions[0].Addr = strings.Repeat("x", maxAddr+1) },
		"few successors": func(c *Config) { c.Successors = -1 },
		"many":           func(c *Config) { c.Successors = 33 },
		"interval":       func(c *Config) { c.Stabilize = -1 },
		"time-outs":      func(c *Config) { c.MinTimeout, c.MaxTimeout = time.Second, time.Millisecond },
	} {
		c := good()
		spoil(&c)
		_, err := New(c)
		assert.ErrorIs(t, err, ErrConfig, name)
	}
}
