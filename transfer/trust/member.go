package trust

import (
	"bytes"
	"fmt"
)

// Member is one machine of the set: its certificate and what it announced.
type Member struct {
	Certificate
	Addrs   []string // as announced, most useful first; empty before the first announcement
	Name    string   // the announced label, or the certificate's
	Version string   // software version
	Seq     uint64   // of the announcement; 0: none yet
	State   State

	ended int64 // certificates issued up to then have ended, Unix seconds
}

// entry is what the set holds of one machine, in its encoded form. Departures has
// at most one statement of each state, in order.
type entry struct {
	Leaf         []byte   `cbor:"1,keyasint"`
	Issuer       []byte   `cbor:"2,keyasint"`
	Announcement signed   `cbor:"3,keyasint"`
	Departures   []signed `cbor:"4,keyasint"`
}

// item is a verified entry with what it says.
type item struct {
	entry
	cert       *Certificate
	said       announcement
	departures []departure
}

// verifyEntry checks everything an entry holds.
func verifyEntry(e entry, root *Root) (*item, error) {
	cert, err := root.Verify([][]byte{e.Leaf, e.Issuer})
	if err != nil {
		return nil, err
	}
	it := &item{entry: e, cert: cert}
	if len(e.Announcement.Body) > 0 {
		if it.said, err = verifyAnnouncement(e.Announcement, cert); err != nil {
			return nil, err
		}
	}
	last := Present
	for _, s := range e.Departures {
		d, err := verifyDeparture(s, cert, root)
		if err != nil {
			return nil, err
		}
		if d.State <= last {
			return nil, fmt.Errorf("%w: departures out of order", ErrBadMembers)
		}
		last = d.State
		it.departures = append(it.departures, d)
	}
	return it, nil
}

// merge returns the greater of both in every part. It is commutative, associative
// and idempotent: every tie is broken by the bytes.
func merge(a, b *item) *item {
	out := *a
	if newer(b.cert.Issued.Unix(), a.cert.Issued.Unix(),
		append(b.Leaf[:len(b.Leaf):len(b.Leaf)], b.Issuer...), append(a.Leaf[:len(a.Leaf):len(a.Leaf)], a.Issuer...)) {
		out.Leaf, out.Issuer, out.cert = b.Leaf, b.Issuer, b.cert
	}
	if newer(b.said.Seq, a.said.Seq, b.Announcement.Body, a.Announcement.Body) {
		out.Announcement, out.said = b.Announcement, b.said
	}
	out.Departures, out.departures = nil, nil
	for i, j := 0, 0; i < len(a.departures) || j < len(b.departures); {
		switch {
		case j == len(b.departures) || i < len(a.departures) && a.departures[i].State < b.departures[j].State:
			out.depart(a, i)
			i++
		case i == len(a.departures) || b.departures[j].State < a.departures[i].State:
			out.depart(b, j)
			j++
		default:
			if newer(b.departures[j].At, a.departures[i].At, mustEncode(b.Departures[j]), mustEncode(a.Departures[i])) {
				out.depart(b, j)
			} else {
				out.depart(a, i)
			}
			i, j = i+1, j+1
		}
	}
	return &out
}

func (it *item) depart(from *item, i int) {
	it.Departures = append(it.Departures, from.Departures[i])
	it.departures = append(it.departures, from.departures[i])
}

func newer[T int64 | uint64](b, a T, bytesB, bytesA []byte) bool {
	return b > a || b == a && bytes.Compare(bytesB, bytesA) > 0
}

// member returns what the entry amounts to.
func (it *item) member() Member {
	m := Member{
		Certificate: *it.cert, Addrs: it.said.Addrs, Name: it.said.Label,
		Version: it.said.Version, Seq: it.said.Seq,
	}
	if m.Name == "" {
		m.Name = it.cert.Label
	}
	for _, d := range it.departures {
		m.ended = max(m.ended, d.At)
		if d.State == Revoked || it.cert.Issued.Unix() <= d.At {
			m.State = d.State
		}
	}
	return m
}
