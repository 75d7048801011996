package trust

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// entry is an item as it was signed, not verified.
type entry struct {
	certs        []rawCertificate
	announcement signed
	departures   []signed
	powers       [][]byte // issuer chains of the machine
}

type rawCertificate struct{ leaf, issuer []byte }

func (it *item) entry() entry {
	e := entry{announcement: it.announcement}
	for _, c := range it.certs {
		e.certs = append(e.certs, rawCertificate{c.leaf, c.by.der})
	}
	for _, d := range slices.Backward(it.departures) {
		e.departures = append(e.departures, d.signed)
	}
	for _, p := range it.powers {
		e.powers = append(e.powers, p.der)
	}
	return e
}

// hash is the same for equal entries.
func (e entry) hash() [32]byte {
	var parts [][]byte
	for _, c := range e.certs {
		parts = append(parts, c.leaf, c.issuer)
	}
	parts = append(parts, nil, mustEncode(e.announcement), nil)
	for _, d := range e.departures {
		parts = append(parts, mustEncode(d))
	}
	parts = append(append(parts, nil), e.powers...)
	return sha256.Sum256(mustEncode(parts))
}

// verify checks everything that an entry holds.
func (e entry) verify(root *Root) (*item, error) {
	if len(e.certs) == 0 || len(e.certs) > maxCertificates || len(e.departures) > maxDepartures || len(e.powers) > maxPowers {
		return nil, fmt.Errorf("%w: %d certificates, %d departures and %d powers of one machine",
			ErrBadMembers, len(e.certs), len(e.departures), len(e.powers))
	}
	it := &item{announcement: e.announcement}
	for _, c := range e.certs {
		by, err := root.issuer(c.issuer)
		if err != nil {
			return nil, err
		}
		cert, err := root.leaf(c.leaf, by)
		if err != nil {
			return nil, err
		}
		if len(it.certs) > 0 && cert.Machine != it.machine() {
			return nil, fmt.Errorf("%w: certificates of two machines in one entry", ErrBadMembers)
		}
		it.certs = append(it.certs, certified{c.leaf, by, cert})
	}
	cert := it.certs[0].cert
	if len(e.announcement.Body) > 0 {
		var err error
		if it.said, err = verifyAnnouncement(e.announcement, cert); err != nil {
			return nil, err
		}
	}
	for _, s := range e.departures {
		d, err := verifyDeparture(s, cert, root)
		if err != nil {
			return nil, err
		}
		it.departures = append(it.departures, d)
	}
	for _, der := range e.powers {
		p, err := root.issuer(der)
		if err != nil {
			return nil, err
		}
		if p.machine() != cert.Machine {
			return nil, fmt.Errorf("%w: power of another machine", ErrBadMembers)
		}
		it.powers = append(it.powers, p)
	}
	return it.with(it), nil // which brings it in order
}

// encodedMembers is the set on the wire and on disk. Entries name issuer chains by
// their index, since few issuers certify many machines.
type encodedMembers struct {
	Format  int            `cbor:"1,keyasint"`
	Issuers [][]byte       `cbor:"2,keyasint"`
	Entries []encodedEntry `cbor:"3,keyasint"`
}

type encodedEntry struct {
	Leaf         []byte        `cbor:"1,keyasint"`
	Issuer       int           `cbor:"2,keyasint"`
	Announcement signed        `cbor:"3,keyasint"`
	Departures   []signed      `cbor:"4,keyasint,omitempty"`
	More         []encodedCert `cbor:"5,keyasint,omitempty"`
	Powers       []int         `cbor:"6,keyasint,omitempty"`
}

type encodedCert struct {
	Leaf   []byte `cbor:"1,keyasint"`
	Issuer int    `cbor:"2,keyasint"`
}

func encodeItems(items []*item) []byte {
	enc := encodedMembers{Format: membersFormat}
	index := make(map[string]int)
	issuer := func(der []byte) int {
		i, ok := index[string(der)]
		if !ok {
			i = len(enc.Issuers)
			index[string(der)] = i
			enc.Issuers = append(enc.Issuers, der)
		}
		return i
	}
	for _, it := range items {
		e := it.entry()
		out := encodedEntry{Announcement: e.announcement, Departures: e.departures}
		for i, c := range e.certs {
			if i == 0 {
				out.Leaf, out.Issuer = c.leaf, issuer(c.issuer)
			} else {
				out.More = append(out.More, encodedCert{c.leaf, issuer(c.issuer)})
			}
		}
		for _, p := range e.powers {
			out.Powers = append(out.Powers, issuer(p))
		}
		enc.Entries = append(enc.Entries, out)
	}
	return mustEncode(enc)
}

// decode puts an encoded entry together.
func (enc *encodedMembers) decode(e encodedEntry) (entry, error) {
	out := entry{announcement: e.Announcement, departures: e.Departures}
	var err error
	issuer := func(i int) []byte {
		if i < 0 || i >= len(enc.Issuers) {
			err = fmt.Errorf("%w: issuer %d of %d", ErrBadMembers, i, len(enc.Issuers))
			return nil
		}
		return enc.Issuers[i]
	}
	for _, c := range append([]encodedCert{{e.Leaf, e.Issuer}}, e.More...) {
		out.certs = append(out.certs, rawCertificate{c.Leaf, issuer(c.Issuer)})
	}
	for _, p := range e.Powers {
		out.powers = append(out.powers, issuer(p))
	}
	return out, err
}
