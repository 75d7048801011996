package trust

import (
	"bytes"
	"crypto/sha256"
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

	mu    sync.Mutex
	items map[MachineID]*item
}

// NewMembers returns an empty set for the ring of root.
func NewMembers(root *Root) *Members {
	return &Members{root: root, items: make(map[MachineID]*item)}
}

// encodedMembers is the set on the wire and on disk. Entries name their issuer by
// its index, since few issuers certify many machines.
type encodedMembers struct {
	Format  int            `cbor:"1,keyasint"`
	Issuers [][]byte       `cbor:"2,keyasint"`
	Entries []encodedEntry `cbor:"3,keyasint"`
}

type encodedEntry struct {
	Leaf         []byte   `cbor:"1,keyasint"`
	Issuer       int      `cbor:"2,keyasint"`
	Announcement signed   `cbor:"3,keyasint"`
	Departures   []signed `cbor:"4,keyasint,omitempty"`
}

// Add takes a chain [leaf, issuer, ...] and reports whether the set changed.
func (m *Members) Add(chain [][]byte) (bool, error) {
	if len(chain) < 2 {
		return false, fmt.Errorf("%w: chain of %d certificates", ErrCertificate, len(chain))
	}
	return m.take(entry{Leaf: chain[0], Issuer: chain[1]})
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
	said := signed{Body: body, Sig: id.Sign(domainAnnouncement, body)}
	return m.take(entry{Leaf: id.chain[0], Issuer: id.chain[1], Announcement: said})
}

// Leave adds this machine's own signed logout.
func (m *Members) Leave(id *Identity, now time.Time) (bool, error) {
	d := departure{Machine: id.Machine(), State: LoggedOut, At: departureTime(now, id.cert)}
	return m.take(entry{
		Leaf: id.chain[0], Issuer: id.chain[1],
		Departures: []signed{signDeparture(d, id.Sign, nil)},
	})
}

// Expel adds an issuer's signed statement that a member is [Forgotten] or
// [Revoked]. The member must be in the set.
func (m *Members) Expel(a *Authority, machine MachineID, state State, now time.Time) (bool, error) {
	m.mu.Lock()
	it, ok := m.items[machine]
	m.mu.Unlock()
	if !ok || state != Forgotten && state != Revoked {
		return false, fmt.Errorf("%w: no member %x that can become %s", ErrBadMembers, machine[:6], state)
	}
	d := departure{Machine: machine, State: state, At: departureTime(now, it.cert)}
	sign := func(domain string, msg []byte) []byte { return Sign(a.key, domain, msg) }
	return m.take(entry{
		Leaf: it.Leaf, Issuer: it.Issuer,
		Departures: []signed{signDeparture(d, sign, a.cert.Raw)},
	})
}

// Get returns what is known of a machine, departed or not.
func (m *Members) Get(machine MachineID) (Member, bool) {
	if m == nil {
		return Member{}, false
	}
	m.mu.Lock()
	it, ok := m.items[machine]
	m.mu.Unlock()
	if !ok {
		return Member{}, false
	}
	return it.member(), true
}

// Check refuses a machine that departed: [ErrRevoked] or [ErrDeparted]. A machine
// that the set does not know yet passes, since its certificate speaks for it.
func (m *Members) Check(machine MachineID) error {
	member, _ := m.Get(machine)
	switch member.State {
	case Present:
		return nil
	case Revoked:
		return ErrRevoked
	}
	return ErrDeparted
}

// All returns every machine ever seen, in order of machine ID. The slices inside
// are shared and must not be changed.
func (m *Members) All() []Member {
	items := m.snapshot()
	out := make([]Member, len(items))
	for i, it := range items {
		out[i] = it.member()
	}
	return out
}

// Alive returns the members that have not departed, in order of machine ID.
// Whether they answer is another question.
func (m *Members) Alive() []Member {
	return slices.DeleteFunc(m.All(), func(member Member) bool { return member.State != Present })
}

// snapshot returns the items, which never change, in order of machine ID.
func (m *Members) snapshot() []*item {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	items := slices.Collect(maps.Values(m.items))
	m.mu.Unlock()
	slices.SortFunc(items, func(a, b *item) int { return bytes.Compare(a.cert.Machine[:], b.cert.Machine[:]) })
	return items
}

// Digest returns a hash of the whole set: equal sets have equal digests.
func (m *Members) Digest() [32]byte { return sha256.Sum256(m.Encode()) }

// Encode returns the whole set in its one canonical form.
func (m *Members) Encode() []byte { return encodeItems(m.snapshot()) }

// EncodeOf returns the entries of some machines in the form that [Members.Merge]
// takes. Machines that are not in the set are left out.
func (m *Members) EncodeOf(machines ...MachineID) []byte {
	return encodeItems(slices.DeleteFunc(m.snapshot(), func(it *item) bool {
		return !slices.Contains(machines, it.cert.Machine)
	}))
}

func encodeItems(items []*item) []byte {
	enc := encodedMembers{Format: membersFormat}
	index := make(map[string]int)
	for _, it := range items {
		i, ok := index[string(it.Issuer)]
		if !ok {
			i = len(enc.Issuers)
			index[string(it.Issuer)] = i
			enc.Issuers = append(enc.Issuers, it.Issuer)
		}
		enc.Entries = append(enc.Entries, encodedEntry{it.Leaf, i, it.Announcement, it.Departures})
	}
	return mustEncode(enc)
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
	known := m.known()
	var entries []entry
	var errs []error
	for _, e := range enc.Entries {
		if e.Issuer < 0 || e.Issuer >= len(enc.Issuers) {
			errs = append(errs, fmt.Errorf("%w: issuer %d of %d", ErrBadMembers, e.Issuer, len(enc.Issuers)))
			continue
		}
		full := entry{e.Leaf, enc.Issuers[e.Issuer], e.Announcement, e.Departures}
		if !known[entryHash(full)] {
			entries = append(entries, full)
		}
	}
	for _, e := range entries {
		took, err := m.take(e)
		changed = changed || took
		if err != nil {
			errs = append(errs, err)
		}
		if len(errs) > 8 {
			break // enough to tell; the rest of it is hardly better
		}
	}
	return changed, errors.Join(errs...)
}

// known returns the hashes of the entries as they are, which need no verifying.
func (m *Members) known() map[[32]byte]bool {
	out := make(map[[32]byte]bool)
	for _, it := range m.snapshot() {
		out[entryHash(it.entry)] = true
	}
	return out
}

func entryHash(e entry) [32]byte {
	if len(e.Departures) == 0 {
		e.Departures = nil // absent and empty are the same
	}
	return sha256.Sum256(mustEncode(e))
}

// take verifies an entry and merges it.
func (m *Members) take(e entry) (changed bool, err error) {
	it, err := verifyEntry(e, m.root)
	if err != nil {
		return false, err
	}
	machine := it.cert.Machine
	m.mu.Lock()
	defer m.mu.Unlock()
	before, ok := m.items[machine]
	if !ok {
		if len(m.items) >= maxMembers {
			return false, fmt.Errorf("%w: more than %d machines", ErrBadMembers, maxMembers)
		}
		m.items[machine] = it
		return true, nil
	}
	after := merge(before, it)
	m.items[machine] = after
	return entryHash(before.entry) != entryHash(after.entry), nil
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
