package filestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Meta returns the value that SetMeta gave key, or nil.
func (s *Store) Meta(key string) ([]byte, error) {
	if err := s.begin(); err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	defer s.end()
	k := metaKey(key)
	s.mu.Lock()
	doubt := s.doubt[string(k)]
	s.mu.Unlock()
	if doubt {
		return nil, fmt.Errorf("meta: %w", s.Degraded())
	}
	value, err := s.tab.get(k)
	if err != nil || value == nil {
		return nil, s.fail(err)
	}
	body, ok := checkedBody(k, value)
	if !ok {
		return nil, s.fail(fmt.Errorf("meta: %w: %s", errDamagedTable, key))
	}
	return body, nil
}

// SetMeta makes value durable under key, which is not empty; nil removes it.
// It is meant for a few small values.
func (s *Store) SetMeta(key string, value []byte) error {
	if err := s.beginWrite(); err != nil {
		return fmt.Errorf("set meta: %w", err)
	}
	defer s.end()
	k := metaKey(key)
	if value != nil {
		value = binary.BigEndian.AppendUint32(append([]byte{}, value...), checksum(k, value))
	}
	if err := s.commit(write{k, value}); err != nil {
		return fmt.Errorf("set meta: %w", err)
	}
	return nil
}

func metaKey(key string) []byte { return append([]byte{prefixMeta}, key...) }

// counter hands out ballot counters. Only whoever has taken turn may touch it.
type counter struct {
	turn  chan struct{}
	last  uint64 // handed out
	limit uint64 // durable: a restart begins above it
	floor uint64 // see Floor
}

func newCounter() counter { return counter{turn: make(chan struct{}, 1)} }

// counterBlock is how many counters one commit reserves. Those of machines that began a
// moment apart are that many microseconds apart: a second spares the commit of catching
// up with each other, for which a store would have to wait. It is not more since each
// start skips what was reserved, and must not get ahead of the clock, see NextCounter.
const counterBlock = 1_000_000

var (
	keyCounter = []byte{prefixStore, 'c'}
	keyRebuilt = []byte{prefixStore, 'r'} // there: see Rebuilt
	keyFloor   = []byte{prefixStore, 'f'} // there: see Floor
)

// clocksApart is by how much the clocks of machines that share ballots are taken to
// differ at most.
const clocksApart = 24 * time.Hour

// Floor is a counter that none of the ballots had which this machine promised before its
// table was lost; zero if it never was. It is the clock at that time, or the greatest
// counter that a file was accepted under if that is more, and clocksApart. Ballots that
// were made to get above another machine's floor come near it: that two machines of a ring
// lose their tables within a day, and their clocks differ, it does not cover.
func (s *Store) Floor() uint64 { return s.counter.floor }

// NextCounter returns a ballot counter that is at least atLeast and greater
// than any it returned before, in the life of this directory. A new directory
// begins at the microseconds since 1970, so that a machine that lost its disk does
// not use a ballot again; a rebuilt table at Floor.
func (s *Store) NextCounter(atLeast uint64) (uint64, error) {
	if err := s.beginWrite(); err != nil {
		return 0, fmt.Errorf("ballot counter: %w", err)
	}
	defer s.end()
	c := &s.counter
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if max(c.last, atLeast) > math.MaxUint64-2*counterBlock {
		return 0, errors.New("ballot counter: used up")
	}
	next := max(c.last+1, atLeast)
	if next > c.limit {
		limit := next + counterBlock
		if err := s.commit(counterWrite(limit)); err != nil {
			return 0, fmt.Errorf("ballot counter: %w", err)
		}
		c.limit = limit
	}
	c.last = next
	return next, nil
}

func counterWrite(limit uint64) write {
	return write{keyCounter, binary.BigEndian.AppendUint64(nil, limit)}
}

// loadCounter begins above all that was reserved before, and reserves more, so that
// nobody has to wait for it.
func (s *Store) loadCounter() error {
	value, err := s.tab.get(keyCounter)
	if err != nil {
		return err
	}
	if len(value) != 8 {
		return fmt.Errorf("%w: ballot counter", errDamagedTable)
	}
	floor, err := s.tab.get(keyFloor)
	if err != nil {
		return err
	}
	if len(floor) == 8 {
		s.counter.floor = binary.BigEndian.Uint64(floor)
	}
	last := binary.BigEndian.Uint64(value)
	s.counter.last, s.counter.limit = last, last
	if last > math.MaxUint64-2*counterBlock {
		return nil // NextCounter says it
	}
	err = s.tab.apply([]write{counterWrite(last + counterBlock)})
	switch {
	case errors.Is(err, ErrNoSpace):
		return s.tab.sync() // they are reserved when one is asked for
	case err == nil:
		s.counter.limit += counterBlock
	}
	return err
}

// readyTable writes what makes a new table complete: a table without it is
// taken for one whose making was interrupted.
func (s *Store) readyTable() error {
	return s.tab.apply([]write{counterWrite(uint64(s.now().UnixMicro()))})
}

// readyAgain is readyTable for one that was made anew, with ballots up to newest.
func (s *Store) readyAgain(newest uint64) error {
	start := max(uint64(s.now().UnixMicro()), newest) + uint64(clocksApart.Microseconds())
	floor := binary.BigEndian.AppendUint64(nil, start)
	return s.tab.apply([]write{{keyRebuilt, []byte{1}}, {keyFloor, floor}, counterWrite(start)})
}
