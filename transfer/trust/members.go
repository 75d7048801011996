package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

const membersFormat = 1

// Members is the grow-only set of the ring's members. It may be used
// concurrently. A nil *Members is an empty set that can be read.
type Members struct {
	root *Root

	mu      sync.Mutex
	items   map[MachineID]*item
	hashes  map[[32]byte]bool  // of the items as they are
	out     map[MachineID]bool // revoked machines; replaced as a whole
	summary *Summary           // of the items as they are; nil: not computed yet
}

// NewMembers returns an empty set for the ring of root.
func NewMembers(root *Root) *Members {
	return &Members{root: root, items: make(map[MachineID]*item), hashes: make(map[[32]byte]bool)}
}

// Add takes a chain [leaf, issuers..., root] and reports whether the set changed.
func (m *Members) Add(chain [][]byte) (bool, error) {
	if _, err := m.root.Verify(chain); err != nil {
		return false, err
	}
	return m.take(m.entryOf(chain))
}

// entryOf is the entry of a chain that was verified.
func (m *Members) entryOf(chain [][]byte) entry {
	above := chain[1:]
	if bytes.Equal(above[len(above)-1], m.root.cert.Raw) {
		above = above[:len(above)-1]
	}
	return entry{certs: []rawCertificate{{chain[0], bytes.Join(above, nil)}}}
}

// Announce signs and adds what this machine says about itself: at most 16
// addresses (host:port), a label and the software version. Saying the same again
// changes nothing; otherwise the sequence number is one greater than before.
func (m *Members) Announce(id *Identity, addrs []string, label, version string) (bool, error) {
	before, _ := m.Get(id.Machine())
	if before.Seq > 0 && slices.Equal(before.Addrs, addrs) && before.Name == label && before.Version == version {
		return m.Add(id.Chain())
	}
	body := mustEncode(announcement{Seq: before.Seq + 1, Addrs: addrs, Label: label, Version: version})
	e := m.entryOf(id.Chain())
	e.announcement = signed{Body: body, Sig: id.Sign(domainAnnouncement, body)}
	return m.take(e)
}

// Leave adds this machine's own signed logout.
func (m *Members) Leave(id *Identity, now time.Time) (bool, error) {
	d := departure{Machine: id.Machine(), State: LoggedOut, At: departureTime(now, id.Certificate())}
	e := m.entryOf(id.Chain())
	e.departures = []signed{signDeparture(d, id.Sign, nil)}
	return m.take(e)
}

// Get returns what is known of a machine, departed or not.
func (m *Members) Get(machine MachineID) (Member, bool) {
	it, out := m.find(machine)
	if it == nil {
		return Member{}, false
	}
	return it.member(out), true
}

// find returns a machine's item, nil for none, and the revoked machines.
func (m *Members) find(machine MachineID) (*item, map[MachineID]bool) {
	if m == nil {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.items[machine], m.out
}

// Check refuses a machine that shows a certificate and is no member any more:
// [ErrRevoked] or [ErrDeparted]. One that the set does not know yet passes, since
// its certificate speaks for it, unless one of those who issued it was revoked;
// so does one that was let in again since it left.
func (m *Members) Check(cert *Certificate) error {
	it, out := m.find(cert.Machine)
	byRevoked := slices.ContainsFunc(cert.Issuers, func(i MachineID) bool { return out[i] })
	known := Member{}
	if it != nil {
		known = it.member(out)
	}
	switch {
	case out[cert.Machine]:
		return ErrRevoked
	case it != nil && known.State == Present:
		return nil
	case byRevoked:
		return errOrphaned
	case it == nil, known.State == Orphaned, cert.Issued.Unix() > known.ended:
		return nil
	}
	return ErrDeparted
}

// errOrphaned is why a member is refused whose issuer was revoked.
var errOrphaned = fmt.Errorf("%w: the machine that let this one in", ErrRevoked)

// All returns every machine ever seen, in order of machine ID. The slices inside
// are shared and must not be changed.
func (m *Members) All() []Member {
	items, revoked := m.snapshot()
	out := make([]Member, len(items))
	for i, it := range items {
		out[i] = it.member(revoked)
	}
	return out
}

// Alive returns the members that have not departed, in order of machine ID.
// Whether they answer is another question.
func (m *Members) Alive() []Member {
	return slices.DeleteFunc(m.All(), func(member Member) bool { return member.State != Present })
}

// snapshot returns the items, which never change, in order of machine ID, and the
// machines that are revoked.
func (m *Members) snapshot() ([]*item, map[MachineID]bool) {
	if m == nil {
		return nil, nil
	}
	m.mu.Lock()
	items, out := slices.Collect(maps.Values(m.items)), m.out
	m.mu.Unlock()
	slices.SortFunc(items, func(a, b *item) int { return compareMachines(a.machine(), b.machine()) })
	return items, out
}

func compareMachines(a, b MachineID) int { return bytes.Compare(a[:], b[:]) }

// Encode returns the whole set in its one canonical form.
func (m *Members) Encode() []byte {
	items, _ := m.snapshot()
	return encodeItems(items)
}

// EncodeOf returns the entries of some machines in the form that [Members.Merge]
// takes. Machines that are not in the set are left out.
func (m *Members) EncodeOf(machines ...MachineID) []byte {
	var items []*item
	for _, id := range machines {
		if it, _ := m.find(id); it != nil {
			items = append(items, it)
		}
	}
	return encodeItems(items)
}

// Merge adds an encoded set and reports whether this one changed. Entries that
// cannot be verified are left out and reported together; the others are taken.
func (m *Members) Merge(encoded []byte) (changed bool, err error) {
	var enc encodedMembers
	if err := decMode.Unmarshal(encoded, &enc); err != nil {
		return false, fmt.Errorf("%w: %w", ErrBadMembers, err)
	}
	if enc.Format != membersFormat {
		return false, fmt.Errorf("%w: format %d", ErrBadMembers, enc.Format)
	}
	var errs []error
	for _, raw := range enc.Entries {
		e, err := enc.decode(raw)
		if err == nil && !m.has(e.hash()) { // what is here as it is needs no verifying
			var took bool
			took, err = m.take(e)
			changed = changed || took
		}
		if err != nil {
			errs = append(errs, err)
		}
		if len(errs) > 8 {
			break // enough to tell; the rest of it is hardly better
		}
	}
	return changed, errors.Join(errs...)
}

// has reports whether an entry is in the set just as it is.
func (m *Members) has(hash [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hashes[hash]
}

// take verifies an entry and merges it.
func (m *Members) take(e entry) (changed bool, err error) {
	it, err := e.verify(m.root)
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before, ok := m.items[it.machine()]
	if !ok && len(m.items) >= maxMembers {
		return false, fmt.Errorf("%w: more than %d machines", ErrBadMembers, maxMembers)
	}
	if ok {
		it = before.with(it)
		if it.hash == before.hash {
			return false, nil
		}
		delete(m.hashes, before.hash)
	}
	m.hashes[it.hash] = true
	m.items[it.machine()] = it
	m.summary = nil
	if len(it.departures) > 0 {
		m.out = judge(m.items)
	}
	return true, nil
}

// Save stores the set durably.
func (m *Members) Save(path string) error { return writeFile(path, m.Encode()) }

// LoadMembers reads what [Members.Save] stored, verifying all of it again. A
// missing file is an empty set.
func LoadMembers(root *Root, path string) (*Members, error) {
	m := NewMembers(root)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load members: %w", err)
	}
	if _, err := m.Merge(data); err != nil {
		return nil, fmt.Errorf("load members: %w", err)
	}
	return m, nil
}
