package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
)

// Fingerprint stands for a set of registers: the sum, modulo 2^128, of one hash
// for each. So the fingerprint of two sets together is that of one plus that of
// the other, in any order, and a register can be taken out again.
//
// That sets are compared by sums of hashes is Bellare and Micciancio's AdHash
// ("A New Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost",
// 1997). 128 bits tell honest sets apart; they do not withstand somebody who
// may choose all the names of a set.
type Fingerprint [16]byte

// Plus is the fingerprint of two sets together.
func (f Fingerprint) Plus(o Fingerprint) Fingerprint { return f.combine(o, bits.Add64) }

// Minus is the fingerprint of f's set without o's.
func (f Fingerprint) Minus(o Fingerprint) Fingerprint { return f.combine(o, bits.Sub64) }

func (f Fingerprint) combine(o Fingerprint, op func(x, y, carry uint64) (uint64, uint64)) Fingerprint {
	low, carry := op(binary.BigEndian.Uint64(f[8:]), binary.BigEndian.Uint64(o[8:]), 0)
	high, _ := op(binary.BigEndian.Uint64(f[:8]), binary.BigEndian.Uint64(o[:8]), carry)
	binary.BigEndian.PutUint64(f[8:], low)
	binary.BigEndian.PutUint64(f[:8], high)
	return f
}

// RegisterState tells registers with one accepted ballot apart.
type RegisterState byte

// The states of a register. HeardOf is for those who compare: a name of which
// there is no record here, but others are known to have one.
const (
	NotHeld RegisterState = iota
	IsHeld
	HeardOf
)

// FingerprintOf returns the fingerprint of one register. Stores that were opened
// with another Seed return another one.
func (s *Store) FingerprintOf(name string, accepted Ballot, state RegisterState) Fingerprint {
	b := make([]byte, 0, 128)
	b = append(b, s.seed[:]...)
	b = binary.BigEndian.AppendUint64(b, accepted.Counter)
	b = append(append(b, accepted.Machine[:]...), byte(state))
	sum := sha256.Sum256(append(b, name...))
	return Fingerprint(sum[:16])
}

// Fingerprint returns the fingerprint of the registers whose key lies on the
// ring after after, up to and including upTo, all of them if the two are equal,
// and how many they are. Registers without a record do not count. It reads
// nothing from the disk.
func (s *Store) Fingerprint(after, upTo [20]byte) (Fingerprint, int) {
	return s.sums.of(after, upTo)
}

// entrySum is the fingerprint of an entry, and whether it counts.
func (s *Store) entrySum(name string, e *entry) (f Fingerprint, counts bool) {
	if e.Record == nil {
		return f, false
	}
	state := NotHeld
	if e.Held {
		state = IsHeld
	}
	return s.FingerprintOf(name, e.Accepted, state), true
}

// resum notes that name's entry was replaced. Its gate is held.
func (s *Store) resum(name string, before, after *entry) {
	old, had := s.entrySum(name, before)
	f, has := s.entrySum(name, after)
	if had == has && old == f {
		return
	}
	key := KeyOf(name)
	if had {
		s.sums.remove(key, old)
	}
	if has {
		s.sums.add(key, f)
	}
}

// sums is a set of fingerprints in the order of their keys, with the sum of any
// stretch at hand: a tree with a child for each half byte of the key, in which
// each node knows the sum of all below it. It may be used concurrently. The zero
// value is empty.
type sums struct {
	mu   sync.Mutex
	root sumNode
}

// sumNode has either children or, below a tree's thin ends, items in no order.
type sumNode struct {
	total Fingerprint
	count int
	kids  *[16]sumNode
	items []sumItem
}

type sumItem struct {
	key [20]byte
	sum Fingerprint
}

const (
	sumLeaf  = 48 // a node with more items than that gets children
	keyParts = 40 // half bytes of a key
)

func (s *sums) add(key [20]byte, f Fingerprint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.root.add(sumItem{key, f}, 0)
}

func (s *sums) remove(key [20]byte, f Fingerprint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.root.remove(sumItem{key, f}, 0)
}

func (s *sums) of(after, upTo [20]byte) (Fingerprint, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, total := s.root.total, s.root.count
	if after == upTo {
		return all, total
	}
	from, skipped := s.root.upTo(after)
	to, counted := s.root.upTo(upTo)
	f, n := to.Minus(from), counted-skipped
	if bytes.Compare(after[:], upTo[:]) > 0 { // through zero
		f, n = f.Plus(all), n+total
	}
	return f, n
}

func part(key *[20]byte, depth int) int {
	b := key[depth/2]
	if depth%2 == 0 {
		return int(b >> 4)
	}
	return int(b & 15)
}

func (n *sumNode) add(i sumItem, depth int) {
	n.total, n.count = n.total.Plus(i.sum), n.count+1
	if n.kids != nil {
		n.kids[part(&i.key, depth)].add(i, depth+1)
		return
	}
	n.items = append(n.items, i)
	if len(n.items) > sumLeaf && depth < keyParts {
		n.kids = new([16]sumNode)
		for _, i := range n.items {
			n.kids[part(&i.key, depth)].add(i, depth+1)
		}
		n.items = nil
	}
}

func (n *sumNode) remove(i sumItem, depth int) {
	n.total, n.count = n.total.Minus(i.sum), n.count-1
	if n.kids != nil {
		n.kids[part(&i.key, depth)].remove(i, depth+1)
		if n.count < sumLeaf/2 {
			n.items = n.gather(nil)
			n.kids = nil
		}
		return
	}
	if at := slices.Index(n.items, i); at >= 0 {
		n.items = slices.Delete(n.items, at, at+1)
	}
}

// gather appends all items below n.
func (n *sumNode) gather(to []sumItem) []sumItem {
	to = append(to, n.items...)
	if n.kids != nil {
		for k := range n.kids {
			to = n.kids[k].gather(to)
		}
	}
	return to
}

// upTo sums the items whose keys are not greater than key.
func (n *sumNode) upTo(key [20]byte) (f Fingerprint, count int) {
	for depth := 0; n.kids != nil; depth++ {
		at := part(&key, depth)
		for k := range n.kids[:at] {
			f, count = f.Plus(n.kids[k].total), count+n.kids[k].count
		}
		n = &n.kids[at]
	}
	for k := range n.items {
		if bytes.Compare(n.items[k].key[:], key[:]) <= 0 {
			f, count = f.Plus(n.items[k].sum), count+1
		}
	}
	return f, count
}
