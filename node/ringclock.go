package node

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// ringClock counts how long the ring has run: the greatest count that this node
// has heard of, going on while the node runs and hears from others. Members tell each
// other theirs when they compare their sets. So it does not depend on anybody's clock
// being set right, and stands still while the whole ring is off, or all of it but one
// member: what nobody could have missed makes nobody old. Where a node is cut off from
// all others it stands still too, and the node learns how much it has missed as one
// does that was off. It may be used concurrently.
type ringClock struct {
	store *filestore.Store
	wall  func() time.Time // this machine's clock
	// awayFor is how long no other member may be silent, by this machine's clock, before
	// the node asks itself whether it is away.
	awayFor time.Duration
	// single: each file is kept by one member, which decides alone.
	single bool
	start  time.Time

	hearing sync.Mutex // held while the node draws its conclusions from what it hears

	mu    sync.Mutex
	count time.Duration // at the time of from
	from  time.Time     // when another member was last heard, or there was none
	heard time.Time     // the same by this machine's clock, which a process that stands still does not stop
}

const metaClock = "ring clock"

// doubtFor is how long a node that may have missed much waits for others to tell.
const doubtFor = time.Minute

// silentFor is how long the clock goes on where no other member is heard: many times
// as long as members take to compare their sets.
const silentFor = 2 * time.Minute

// openRingClock goes on where the clock stood when the node last ran.
func openRingClock(s *filestore.Store, wall func() time.Time, awayFor time.Duration, single bool) (*ringClock, error) {
	c := &ringClock{store: s, wall: wall, awayFor: awayFor, single: single, start: time.Now(), from: time.Now(), heard: wall().Round(0)}
	b, err := s.Meta(metaClock)
	if err != nil || b == nil {
		return c, err
	}
	if len(b) != 16 {
		return nil, fmt.Errorf("ring clock: %d bytes", len(b))
	}
	c.count = time.Duration(binary.BigEndian.Uint64(b))
	c.heard = time.Unix(0, int64(binary.BigEndian.Uint64(b[8:])))
	return c, nil
}

// now is how long the ring has run.
func (c *ringClock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count + min(time.Since(c.from), silentFor)
}

// seconds is now as it stands in records: never zero, which means not known.
func (c *ringClock) seconds() int64 { return int64(c.now()/time.Second) + 1 }

// hear takes what another member's clock shows.
func (c *ringClock) hear(count time.Duration) { c.set(max(count, c.now())) }

// alone has the clock go on where there is no other member. It is called now and then.
func (c *ringClock) alone() {
	c.mu.Lock()
	count := c.count + time.Since(c.from)
	c.mu.Unlock()
	c.set(count)
}

func (c *ringClock) set(count time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count, c.from, c.heard = count, time.Now(), c.wall().Round(0)
}

// mayBeAway reports whether the node may have been away for long, down or cut off, and
// no member has told yet. One that decides alone does not wait for that for longer than
// doubtFor; any other could do nothing meanwhile.
func (c *ringClock) mayBeAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	gap := c.wall().Sub(c.heard)
	silent := gap > c.awayFor || gap < -c.awayFor || time.Since(c.from) > c.awayFor
	return silent && (!c.single || time.Since(c.start) < doubtFor)
}

// save makes the clock durable.
func (c *ringClock) save() error {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.now()))
	c.mu.Lock()
	heard := c.heard
	c.mu.Unlock()
	return c.store.SetMeta(metaClock, binary.BigEndian.AppendUint64(b, uint64(heard.UnixNano())))
}
