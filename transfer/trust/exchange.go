package trust

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// Comparing two sets costs as much as they differ: equal ones find out by one hash
// ([Members.Summary]), others by a hash for each bucket of machines, then by the
// hashes of the entries in the buckets that differ ([Members.Have]); and only
// entries that differ are sent ([Members.Compare], [Members.Page]).

// The buckets are by the first byte of the machine ID.
const (
	buckets   = 256
	shortHash = 8                            // bytes of a hash in a summary: a chance in 2^64 to overlook a difference
	haveSize  = len(MachineID{}) + shortHash // bytes of one entry in what Have returns

	// BucketsAtOnce is how many buckets one comparison is about, so that what is
	// said about them stays small also in the largest set.
	BucketsAtOnce = 16
	// PageSize is about how many bytes of entries one message carries.
	PageSize = 1 << 20
)

// Summary stands for a whole set: equal sets have equal ones.
type Summary struct {
	Digest  [32]byte
	Buckets []byte // shortHash bytes for each
}

// Summary returns the set's. The caller must not change it.
func (m *Members) Summary() Summary {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.summary == nil {
		m.summary = summarize(slices.Collect(maps.Values(m.items)))
	}
	return *m.summary
}

// Digest returns a hash of the whole set: equal sets have equal digests.
func (m *Members) Digest() [32]byte { return m.Summary().Digest }

func summarize(items []*item) *Summary {
	slices.SortFunc(items, func(a, b *item) int { return compareMachines(a.machine(), b.machine()) })
	s := new(Summary)
	all, i := sha256.New(), 0
	for b := range buckets {
		part := sha256.New()
		for ; i < len(items) && int(items[i].machine()[0]) == b; i++ {
			part.Write(items[i].hash[:])
		}
		sum := part.Sum(nil)
		all.Write(sum)
		s.Buckets = append(s.Buckets, sum[:shortHash]...)
	}
	all.Sum(s.Digest[:0])
	return s
}

// Differing returns the buckets in which this set and another differ, by the
// other's summary.
func (m *Members) Differing(other Summary) ([]byte, error) {
	own := m.Summary()
	if len(other.Buckets) != len(own.Buckets) {
		return nil, fmt.Errorf("%w: summary of %d bytes", ErrBadMembers, len(other.Buckets))
	}
	var out []byte
	for b := range buckets {
		at := b * shortHash
		if !bytes.Equal(own.Buckets[at:at+shortHash], other.Buckets[at:at+shortHash]) {
			out = append(out, byte(b))
		}
	}
	return out, nil
}

// Have lists the entries of some buckets: machine ID and the beginning of the
// entry's hash, one after the other.
func (m *Members) Have(of []byte) []byte {
	var out []byte
	for _, it := range m.in(of) {
		id := it.machine()
		out = append(append(out, id[:]...), it.hash[:shortHash]...)
	}
	return out
}

// in returns the items of some buckets, in order of machine ID.
func (m *Members) in(of []byte) []*item {
	items, _ := m.snapshot()
	return slices.DeleteFunc(items, func(it *item) bool { return !slices.Contains(of, it.machine()[0]) })
}

// Compare answers a peer that has told what it has in some buckets: an encoded set
// of about a page with entries that it lacks or has otherwise, and the machines
// whose entries this set lacks or has otherwise. With more, a page does not hold
// all: the peer compares again when it has taken these.
func (m *Members) Compare(of, have []byte) (set []byte, want []MachineID, more bool, err error) {
	if len(of) > BucketsAtOnce || len(have)%haveSize != 0 || len(have) > haveSize*maxMembers {
		return nil, nil, false, fmt.Errorf("%w: comparison of %d buckets, %d bytes", ErrBadMembers, len(of), len(have))
	}
	theirs := make(map[MachineID][]byte, len(have)/haveSize)
	for h := range slices.Chunk(have, haveSize) {
		theirs[MachineID(h[:len(MachineID{})])] = h[len(MachineID{}):]
	}
	var give []*item
	for _, it := range m.in(of) {
		hash, both := theirs[it.machine()]
		if both && bytes.Equal(hash, it.hash[:shortHash]) {
			delete(theirs, it.machine())
			continue
		}
		give = append(give, it)
	}
	page := pageOf(give)
	return encodeItems(give[:page]), slices.SortedFunc(maps.Keys(theirs), compareMachines), page < len(give), nil
}

// Page encodes the entries of some machines, as many as a page holds, and returns
// the machines that are left.
func (m *Members) Page(machines []MachineID) (set []byte, rest []MachineID) {
	var items []*item
	for _, id := range machines {
		if it, _ := m.find(id); it != nil {
			items = append(items, it)
		}
	}
	page := pageOf(items)
	for _, it := range items[page:] {
		rest = append(rest, it.machine())
	}
	return encodeItems(items[:page]), rest
}

// pageOf is how many of the items a page holds, one at least.
func pageOf(items []*item) int {
	size := 0
	for i, it := range items {
		if size += it.size(); size > PageSize && i > 0 {
			return i
		}
	}
	return len(items)
}

// size is about how many bytes an entry takes when it is encoded.
func (it *item) size() int {
	n := len(it.announcement.Body) + len(it.announcement.Sig)
	for _, c := range it.certs {
		n += len(c.leaf)
	}
	for _, d := range it.departures {
		n += len(d.Body) + len(d.Sig) + len(d.Issuer)
	}
	for _, p := range it.powers {
		n += len(p.der)
	}
	return n
}
