package node

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// ringClock counts how long the ring has run: the greatest count that this node
// has heard of, going on while the node runs. Members tell each other theirs
// when they compare their sets. So it does not depend on anybody's clock being
// set right, and stands still while the whole ring is off: what nobody could
// have missed makes nobody old. It may be used concurrently.
type ringClock struct {
	store *filestore.Store
	wall  func() time.Time // this machine's clock

	mu    sync.Mutex
	count time.Duration // at the time of from
	from  time.Time
	// asleep: by this machine's own clock it may have been away for long, and no
	// member has said yet how long.
	asleep bool
	start  time.Time
}

const metaClock = "ring clock"

// doubtFor is how long a node that may have missed much waits for others to tell.
const doubtFor = time.Minute

// openRingClock goes on where the clock stood when the node last ran. mayBeAway
// is how long, by this machine's own clock, a node may have been down and not
// ask others whether it was away.
func openRingClock(s *filestore.Store, wall func() time.Time, mayBeAway time.Duration) (*ringClock, error) {
	c := &ringClock{store: s, wall: wall, from: time.Now(), start: time.Now()}
	b, err := s.Meta(metaClock)
	if err != nil || b == nil {
		return c, err
	}
	if len(b) != 16 {
		return nil, fmt.Errorf("ring clock: %d bytes", len(b))
	}
	c.count = time.Duration(binary.BigEndian.Uint64(b))
	gap := wall().Sub(time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))))
	c.asleep = gap < -mayBeAway || gap > mayBeAway
	return c, nil
}

// now is how long the ring has run.
func (c *ringClock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count + time.Since(c.from)
}

// seconds is now as it stands in records: never zero, which means not known.
func (c *ringClock) seconds() int64 { return int64(c.now()/time.Second) + 1 }

// hear takes what another member's clock shows, and returns by how much this
// one was behind.
func (c *ringClock) hear(count time.Duration) (behind time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asleep = false
	behind = count - (c.count + time.Since(c.from))
	if behind > 0 {
		c.count, c.from = count, time.Now()
	}
	return max(0, behind)
}

// mayBeAway reports whether the node may have been away for long and no member
// has told yet. Where none tells for doubtFor, none can miss anything.
func (c *ringClock) mayBeAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asleep && time.Since(c.start) < doubtFor
}

// save makes the clock durable.
func (c *ringClock) save() error {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.now()))
	return c.store.SetMeta(metaClock, binary.BigEndian.AppendUint64(b, uint64(c.wall().UnixNano())))
}
