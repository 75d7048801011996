package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Node is one machine's part in a ring: it keeps its share of the files and
// stores and fetches any file on behalf of whoever asks it. Between the
// beginning and the end of Run its methods may be called concurrently.
type Node struct {
	cfg        Config
	log        *slog.Logger
	membership *Membership
	members    *members
	store      *filestore.Store
	ring       *chord.Ring
	net        *transfer.Endpoint
	authority  *authority
	living     *living
	staged     stagedSet
	copying    gate // one copying of a name at a time
	coding     coding
	sharing    sharing
	repair     repairer
	healer     healer
	scrubber   *scrubber
	silence    silence
	unfit      unfit
	slow       slowSources
	places     recentPlaces
	settled    settled
	verified   verified
	decoded    recent[*filestore.Record] // by their encoding; see answer
	pacer      *pacer
	clock      *ringClock
	doubts     *doubts
	wake       wake
	tasks      *tasks
	state      state
}

// coding is shared by all transfers, since it learns how fast links are and bounds
// what is in memory.
type coding struct {
	store  *transfer.Compressor // towards a coordinator
	serve  *transfer.Compressor // towards those who fetch
	decode transfer.Decoder
	// several holds a token for each fetch from several holders at once.
	several chan struct{}
	// contents holds a token for each message full of small contents that is put together.
	contents chan struct{}
}

// wake carries signals between a node's goroutines.
type wake struct {
	gossip   chan struct{} // the member set changed
	joined   chan struct{} // members came or left for good
	left     chan struct{} // closed: this node has left the ring
	expelled chan struct{} // an issuer has said that this node is no member
	renew    chan struct{} // the certificate may be due
	degraded chan struct{} // the disk has failed
}

// state is where a node is in its life.
type state struct {
	started time.Time
	leaving atomic.Bool
	refused atomic.Pointer[string] // why other members refuse this node; nil: they do not, as far as it knows
}

// New opens a node's store and prepares everything; it starts nothing. After an
// error the listener is closed. The errors of filestore.Open come through:
// ErrLocked when another process has the directory.
func New(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, membership: cfg.Membership,
		coding: coding{store: transfer.NewCompressor(transfer.Auto), serve: transfer.NewCompressor(transfer.Auto),
			several: make(chan struct{}, stripedFetches), contents: make(chan struct{}, contentsAtOnce)},
		tasks: newTasks(), state: state{started: time.Now()},
		wake: wake{gossip: make(chan struct{}, 1), joined: make(chan struct{}, 1), left: make(chan struct{}),
			expelled: make(chan struct{}, 1), renew: make(chan struct{}, 1), degraded: make(chan struct{}, 1)},
	}
	if err := n.open(); err != nil {
		err = errors.Join(err, cfg.Listener.Close())
		if n.store != nil {
			err = errors.Join(err, n.store.Close())
		}
		return nil, err
	}
	return n, nil
}

func (n *Node) open() (err error) {
	if err := n.membership.Departed(); err != nil {
		return fmt.Errorf("open node: %w", err)
	}
	n.members = newMembers(n.membership.members, n.self(), inDir(n.cfg.StateDir, membersFile), n.log)
	n.repair, n.healer, n.living = newRepairer(), newHealer(), newLiving()
	n.pacer = newPacer(n.cfg.Timing.RepairRate)
	n.store, err = filestore.Open(filestore.Options{
		Dir: n.cfg.Dir, Disk: n.cfg.Disk, Small: smallContent, Positions: n.membership.identity.Positions(),
		Capacity: n.cfg.Capacity, MinFree: n.cfg.MinFree, Seed: n.membership.identity.Root().ID(), Logger: n.log,
		OnDamage: n.healer.damaged, OnDegraded: n.onDegraded, Now: n.cfg.Now,
	})
	if err != nil {
		return err
	}
	if n.authority, err = openAuthority(n.store); err != nil {
		return err
	}
	if n.clock, err = openRingClock(n.store, n.now, n.cfg.Timing.Away/2); err != nil {
		return err
	}
	if n.members.count() < 2 {
		n.clock.hear(0) // nobody else can have missed this node
	}
	if n.doubts, err = openDoubts(n.store, n.clock); err != nil {
		return err
	}
	if n.scrubber, err = openScrubber(n.store, &n.cfg); err != nil {
		return err
	}
	if _, err := n.members.set.Announce(n.membership.identity, n.cfg.Advertise, n.cfg.Label, n.cfg.Version); err != nil {
		return fmt.Errorf("announce addresses: %w", err)
	}
	if power := n.membership.power(); power != nil {
		power.Lifetime = n.cfg.Timing.Lifetime
		if _, err := n.members.set.Empower(power.Authority); err != nil {
			return err
		}
	}
	n.members.save()
	n.net, err = transfer.New(transfer.Config{
		Identity: n.membership.identity, Handler: handler{n}, Version: n.cfg.Version, Join: n.onJoin, Issuer: n.issuerOf, Dial: n.cfg.Dial,
		Check: n.members.set.Check, Errors: wireErrors(), Now: n.cfg.Now, Logger: n.log,
	})
	if err != nil {
		return err
	}
	self, _ := n.members.set.Get(n.self())
	n.ring, err = chord.New(chord.Config{
		Positions: positionsOf(self), Transport: ringTransport{n}, Logger: n.log, Seed: seed(n.self()),
		Successors: max(8, 2*n.genesis().N), // a group, and those who take over from it
	})
	if err != nil {
		return err
	}
	peers, _ := n.members.positions()
	n.ring.Remember(peers...)
	return nil
}

// Run is the node's life: it joins the ring, serves, repairs and gossips until
// ctx ends or the node has logged out, and returns when all it started has
// ended and the store is closed. The error is trust.ErrRevoked or
// trust.ErrDeparted when an issuer has said that this node is no member any more.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.net.Serve(ctx, n.cfg.Listener) })
	g.Go(func() error { return n.ring.Run(ctx) })
	g.Go(func() error { return n.runGossip(ctx) })
	g.Go(func() error { return n.runRepair(ctx) })
	g.Go(func() error { return n.runRenewal(ctx) })
	g.Go(func() error { return n.runSweep(ctx) })
	g.Go(func() error { return n.runCollect(ctx) })
	g.Go(func() error { return n.runFlush(ctx) })
	g.Go(func() error { return n.runHeal(ctx) })
	g.Go(func() error { return n.runScrub(ctx) })
	g.Go(func() error { return n.runDegraded(ctx) })
	g.Go(func() error {
		select {
		case <-n.wake.left:
			cancel()
		case <-n.wake.expelled:
			return n.membership.Departed()
		case <-ctx.Done():
		}
		return nil
	})
	n.lookAtSelf()
	signal(n.wake.gossip) // others are to learn this node's addresses
	err := g.Wait()
	err = errors.Join(err, n.net.Close())
	n.tasks.close()
	n.staged.discard(func(stagedItem) bool { return true })
	return errors.Join(err, n.store.Close())
}

// WaitReady waits until the node is in its place on the ring and has compared
// its part of it with its neighbours, or is there alone because no other member
// answers. When ctx ends first the error is ErrNotReady.
func (n *Node) WaitReady(ctx context.Context) error {
	for !n.ready() {
		if err := sleep(ctx, readyPoll); err != nil {
			return fmt.Errorf("%w: %w", ErrNotReady, err)
		}
	}
	return nil
}

func (n *Node) ready() bool {
	return n.ring.Placed() && !n.state.leaving.Load() && (n.repair.done.Load() || n.alone())
}

// alone reports whether the ring, as far as this node can see, is this node.
func (n *Node) alone() bool {
	for _, p := range n.ring.Positions() {
		for _, s := range p.Successors {
			if s.Machine != n.self() {
				return false
			}
		}
	}
	return n.members.count() > 1
}

const readyPoll = 25 * time.Millisecond

func (n *Node) now() time.Time { return n.cfg.Now() }

func (n *Node) self() MachineID { return n.membership.Machine() }

func (n *Node) genesis() trust.Genesis { return n.membership.identity.Root().Genesis() }
