package filestore

import (
	"errors"
	"fmt"
	"math"
)

// space counts the content of a store. Guarded by Store.mu.
type space struct {
	files    int   // held
	bytes    int64 // held
	reserved int64 // by stages, written or not
	written  int64 // of those
}

// reserveStep is how much a stage of unknown size reserves at a time.
const reserveStep = 16 << 20

// Usage returns how many files are held, their bytes, and how many bytes of
// content can be added. free is -1 when the disk does not say.
func (s *Store) Usage() (files int, bytes, free int64) {
	s.mu.Lock()
	used := s.space
	s.mu.Unlock()
	room, err := s.room(used)
	if err != nil {
		room = -1
	}
	return used.files, used.bytes, room
}

// room returns how many bytes may still be reserved.
func (s *Store) room(used space) (int64, error) {
	free, err := s.disk.free()
	if err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	room := free - s.minFree - (used.reserved - used.written)
	if s.capacity > 0 {
		room = min(room, s.capacity-used.bytes-used.reserved)
	}
	return max(0, room), nil
}

// reserve sets n bytes aside for st, or returns a *SpaceError.
func (s *Store) reserve(st *Stage, n int64) error {
	if err := s.setAside(); errors.Is(err, ErrNoSpace) {
		return &SpaceError{Needed: n}
	} else if err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	used := s.space
	s.mu.Unlock()
	room, err := s.room(used)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	others := s.space.reserved - used.reserved // meanwhile; negative when they gave back
	if n+others > room {                       // room-others may be more than an int64 holds
		return &SpaceError{Needed: n, Free: max(0, room-others)}
	}
	s.space.reserved += n
	st.reserved += n
	return nil
}

// Reserve has the store keep room for size bytes in all from now on, and gives back
// what was kept beyond that and is not written. It returns a *SpaceError, and then
// what was kept stays.
func (st *Stage) Reserve(size int64) error {
	s := st.store
	s.mu.Lock()
	more := max(size, st.written) - st.reserved
	if more <= 0 {
		s.space.reserved += more
		st.reserved += more
	}
	s.mu.Unlock()
	if more <= 0 {
		return nil
	}
	if err := s.reserve(st, more); err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	return nil
}

// wrote counts n bytes of st as on the disk.
func (s *Store) wrote(st *Stage, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.written += n
	s.space.written += n
}

// release gives back what st reserved.
func (s *Store) release(st *Stage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.space.reserved -= st.reserved
	s.space.written -= st.written
	st.reserved, st.written = 0, 0
}

// count adds the content of a live record to the books, or with -1 takes it
// off, and returns how many contents use its hash list now.
func (s *Store) count(r *Record, by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.space.files += by
	s.space.bytes += int64(by) * r.Size
	return s.useList(r, by)
}

// useList changes how many contents use r's hash list, which a content of one
// chunk does not have, and returns the number. s.mu is held.
func (s *Store) useList(r *Record, by int) int {
	if r.Size <= ChunkSize {
		return math.MaxInt
	}
	n := s.lists[r.Root] + by
	if s.lists[r.Root] = n; n == 0 {
		delete(s.lists, r.Root)
	}
	return n
}
