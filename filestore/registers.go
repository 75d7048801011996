package filestore

import (
	"bytes"
	"fmt"
	"iter"
	"time"

	"github.com/fxamacker/cbor/v2"
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
		for at, err := range s.pairs(after, upTo, from) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			e, err := decodeEntry(at.key, at.value)
			if err != nil {
				_ = s.fail(err)
				continue
			}
			if s.judge(at.key, e) == nil && !yield(Entry{Cursor: at.Cursor, Register: e.register(), Since: e.since()}, nil) {
				return
			}
		}
	}
}

// EncodedEntry is one register of a listing.
type EncodedEntry struct {
	Cursor
	EncodedRegister
}

// EncodedRegisters is Registers with less work.
func (s *Store) EncodedRegisters(after, upTo [20]byte, from Cursor) iter.Seq2[EncodedEntry, error] {
	return func(yield func(EncodedEntry, error) bool) {
		for at, err := range s.pairs(after, upTo, from) {
			if err != nil {
				yield(EncodedEntry{}, err)
				return
			}
			r, err := s.encodedRegister(at.key, at.value)
			if err == nil && !yield(EncodedEntry{at.Cursor, r}, nil) {
				return
			}
		}
	}
}

// located is a register as the table has it.
type located struct {
	Cursor
	pair
}

// pairs lists what Registers is about.
func (s *Store) pairs(after, upTo [20]byte, from Cursor) iter.Seq2[located, error] {
	return func(yield func(located, error) bool) {
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
func (s *Store) listTo(start []byte, upTo [20]byte, yield func(located, error) bool) bool {
	for {
		pairs, err := s.page(start)
		if err != nil {
			yield(located{}, fmt.Errorf("list registers: %w", err))
			return false
		}
		for _, p := range pairs {
			c, ok := splitRegisterKey(p.key)
			if !ok || bytes.Compare(c.Key[:], upTo[:]) > 0 {
				return true
			}
			if !yield(located{c, p}, nil) {
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
	if err != nil {
		return EncodedRegister{}, fmt.Errorf("register: %w", s.fail(fmt.Errorf("read register: %w", err)))
	}
	r, err := s.encodedRegister(key, value)
	if err != nil {
		return EncodedRegister{}, fmt.Errorf("register: %w", err)
	}
	return r, nil
}

// encodedRegister is what the table has for a key; a nil value is nothing.
func (s *Store) encodedRegister(key, value []byte) (EncodedRegister, error) {
	var e encodedEntry
	if value != nil {
		if err := decodeInto(&e, key, value); err != nil {
			return EncodedRegister{}, s.fail(fmt.Errorf("read register: %w", err))
		}
	}
	seen := entry{Held: e.Held, File: e.File}
	if err := s.judge(key, &seen); err != nil {
		return EncodedRegister{}, err
	}
	return EncodedRegister{Promised: e.Promised, Accepted: e.Accepted, Record: e.Record, Held: seen.Held}, nil
}

// Tombstone reports whether the record says that the name was deleted.
func (r EncodedRegister) Tombstone() (bool, error) {
	var rec struct {
		Deleted bool `cbor:"4,keyasint"`
	}
	if r.Record == nil {
		return false, nil
	}
	err := cbor.Unmarshal(r.Record, &rec)
	return rec.Deleted, err
}
