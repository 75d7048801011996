package filestore

import (
	"bytes"
	"fmt"
	"iter"
	"time"
)

// Cursor is a place in the order of registers: by key, then by name. The zero
// value is before them all.
type Cursor struct {
	Key  [20]byte
	Name string
}

// Entry is one register of a listing.
type Entry struct {
	Cursor
	Register
	Since time.Time // when Accepted last changed; zero: not known
}

// registersPage is how many registers are read at a time.
const registersPage = 256

// Registers lists the registers whose key lies on the ring after after, up to
// and including upTo, in that order; all of them if the two are equal. It goes
// on behind from, the Cursor of the last Entry seen, unless that is zero.
// Registers changed meanwhile may be listed as they were or as they are; no
// transaction stays open between two. Those that a failed commit left unknown
// or that are damaged are left out; the store is then degraded. An error ends
// the listing.
func (s *Store) Registers(after, upTo [20]byte, from Cursor) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		wraps := bytes.Compare(after[:], upTo[:]) >= 0
		last := [20]byte(bytes.Repeat([]byte{0xff}, 20))
		start := append(cursorKey(Cursor{Key: after}), 0xff) // behind every name of that key
		switch {
		case from == Cursor{}:
		case wraps && bytes.Compare(from.Key[:], after[:]) <= 0:
			s.listTo(cursorKey(from), upTo, yield)
			return
		default:
			start = cursorKey(from)
		}
		if !wraps {
			s.listTo(start, upTo, yield)
		} else if s.listTo(start, last, yield) {
			s.listTo([]byte{prefixRegister}, upTo, yield)
		}
	}
}

// listTo yields the registers behind the table key start whose ring key is not
// greater than upTo, and reports whether the listing may go on.
func (s *Store) listTo(start []byte, upTo [20]byte, yield func(Entry, error) bool) bool {
	for {
		pairs, err := s.page(start)
		if err != nil {
			yield(Entry{}, fmt.Errorf("list registers: %w", err))
			return false
		}
		for _, p := range pairs {
			c, ok := splitRegisterKey(p.key)
			if !ok || bytes.Compare(c.Key[:], upTo[:]) > 0 {
				return true
			}
			e, err := decodeEntry(p.key, p.value)
			if err != nil {
				_ = s.fail(err)
				continue
			}
			if s.judge(p.key, e) != nil {
				continue
			}
			if !yield(Entry{Cursor: c, Register: e.register(), Since: e.since()}, nil) {
				return false
			}
		}
		if len(pairs) < registersPage {
			return true
		}
		start = pairs[len(pairs)-1].key
	}
}

func (s *Store) page(start []byte) ([]pair, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.end()
	pairs, err := s.tab.page(start, registersPage)
	return pairs, s.fail(err)
}

// EncodedRegister is a Register whose record is still encoded, as CBOR: for those who
// pass it on.
type EncodedRegister struct {
	Promised, Accepted Ballot
	Record             []byte // nil: nothing accepted yet
	Held               bool
}

// EncodedRegister is Register with less work.
func (s *Store) EncodedRegister(name string) (EncodedRegister, error) {
	if err := s.begin(); err != nil {
		return EncodedRegister{}, fmt.Errorf("register: %w", err)
	}
	defer s.end()
	if err := ValidateName(name); err != nil {
		return EncodedRegister{}, fmt.Errorf("register: %w", err)
	}
	key := registerKey(name)
	value, err := s.tab.get(key)
	var e encodedEntry
	if err == nil && value != nil {
		err = decodeInto(&e, key, value)
	}
	if err != nil {
		return EncodedRegister{}, fmt.Errorf("register: %w", s.fail(fmt.Errorf("read register: %w", err)))
	}
	seen := entry{Held: e.Held, File: e.File}
	if err := s.judge(key, &seen); err != nil {
		return EncodedRegister{}, fmt.Errorf("register: %w", err)
	}
	return EncodedRegister{Promised: e.Promised, Accepted: e.Accepted, Record: e.Record, Held: seen.Held}, nil
}
