package node

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// Config says what a node is made of. Membership and Listener are needed.
type Config struct {
	Membership *Membership
	// Listener takes the ring's traffic; the node closes it.
	Listener net.Listener
	// Advertise are the addresses (host:port) that others dial, the most useful
	// first. Empty: the listener's own, which must then be a specific one.
	Advertise []string
	// Dir is where files and registers live, under files/<node ID>/. Empty: in
	// memory, and gone with the node.
	Dir string
	// Disk replaces Dir; for tests.
	Disk filestore.Disk
	// StateDir is where the membership is kept up to date. Empty: it is not.
	StateDir string
	// Capacity bounds the bytes of files kept here. 0: the disk's size does.
	Capacity int64
	// MinFree are bytes of the disk to leave free. 0: 1 GiB, or nothing in memory.
	MinFree int64
	// Label is this node's name for people. Empty: that of its certificate.
	Label string
	// Version of the software, shown by `dhtfs nodes`.
	Version string
	// Dial opens connections to other nodes. Nil: the network's.
	Dial transfer.DialFunc
	// Now is the clock by which certificates are judged; everything else is timed
	// by package time. Nil: time.Now.
	Now func() time.Time
	// Logger gets what people who run the node want to know. Nil: nothing is logged.
	Logger *slog.Logger
	// Timing of repair and scrubbing. The zero value is right but for tests, and
	// for disks that scrubbing should spare.
	Timing Timing
}

// Timing says when a node looks after its files. Shorter heals sooner and costs
// more comparing; RepairAfter should be longer than a restart takes, or every
// restart copies files.
type Timing struct {
	RepairAfter time.Duration // after the ring changed near it; 15 s
	RepairEvery time.Duration // when nothing happened; 1 min
	JoinSettle  time.Duration // after a member came or left for good; 1 s
	Lifetime    time.Duration // of certificates that this node issues; 90 days
	RepairRate  int64         // bytes a second that repair copies to this node at most; 32 MiB
	DropAfter   time.Duration // a copy that no register counts on is kept so long; 10 min
	TakeOver    time.Duration // without a majority for so long, those that are there go on alone; 1 min
	Retention   time.Duration // a tombstone is kept so long, by the ring's own clock; 90 days
	Away        time.Duration // a node that was away for longer pushes nothing; 60 days. Less than Retention
	Collect     time.Duration // what is not needed any more is looked for so often; 1 h
	ScrubEvery  time.Duration // everything is read and checked so often; 7 days
	ScrubRate   int64         // bytes a second that this reads at most; 8 MiB
}

const defaultMinFree = 1 << 30

func (c *Config) validate() error {
	if c.Membership == nil || c.Listener == nil {
		return errors.New("node: Membership and Listener are needed")
	}
	if c.Dir == "" && c.Disk == nil {
		c.Disk = filestore.NewMemDisk()
	} else if c.MinFree == 0 && c.Disk == nil {
		c.MinFree = defaultMinFree
	}
	if len(c.Advertise) == 0 {
		c.Advertise = []string{c.Listener.Addr().String()}
	}
	if c.Label == "" {
		c.Label = c.Membership.Label()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	orElse(&c.Timing.RepairAfter, defaultRepairAfter)
	orElse(&c.Timing.RepairEvery, defaultRepairEvery)
	orElse(&c.Timing.JoinSettle, defaultJoinSettle)
	orElse(&c.Timing.DropAfter, defaultDropAfter)
	orElse(&c.Timing.TakeOver, defaultTakeOver)
	orElse(&c.Timing.Retention, defaultRetention)
	orElse(&c.Timing.Away, defaultAway)
	orElse(&c.Timing.Collect, defaultCollect)
	orElse(&c.Timing.ScrubEvery, defaultScrubEvery)
	if c.Timing.RepairRate <= 0 {
		c.Timing.RepairRate = defaultRepairRate
	}
	if c.Timing.ScrubRate <= 0 {
		c.Timing.ScrubRate = defaultScrubRate
	}
	return nil
}

func orElse(d *time.Duration, otherwise time.Duration) {
	if *d <= 0 {
		*d = otherwise
	}
}
