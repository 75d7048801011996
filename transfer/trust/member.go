package trust

import (
	"bytes"
	"cmp"
	"slices"
)

// What the set keeps of one machine at most. It needs one of each; more are kept so
// that an issuer which is later revoked cannot displace what others have signed.
const (
	maxCertificates = 8
	maxDepartures   = 16
	maxPowers       = 8
)

// Member is one machine of the set: its certificate and what it announced.
type Member struct {
	Certificate
	Addrs   []string // as announced, most useful first; empty before the first announcement
	Name    string   // the announced label, or the certificate's
	Version string   // software version
	Seq     uint64   // of the announcement; 0: none yet
	State   State
	Issuing bool // it is an issuer

	ended int64 // certificates issued up to then have ended, Unix seconds
}

// certified is a certificate with who issued it.
type certified struct {
	leaf []byte
	by   *issuer
	cert *Certificate
}

// item is what the set holds of one machine, verified. It does not change. Each
// list is in order of seniority of those who signed, and has of each of them at
// most one entry of a kind, the newest.
type item struct {
	certs        []certified
	announcement signed
	said         announcement
	departures   []departed
	powers       []*issuer // that this machine may sign with
	hash         [32]byte
}

// machine is whose entry it is: all certificates are of one key.
func (it *item) machine() MachineID { return it.certs[0].cert.Machine }

// with returns the greater of both in every part. It is commutative, associative
// and idempotent: every tie is broken by the bytes, and what is over a limit is
// what comes last in an order that nothing later changes.
func (it *item) with(o *item) *item {
	out := &item{announcement: it.announcement, said: it.said}
	if newer(o.said.Seq, it.said.Seq, o.announcement.Body, it.announcement.Body) {
		out.announcement, out.said = o.announcement, o.said
	}
	out.certs = unite(it.certs, o.certs, maxCertificates,
		func(a, b certified) int { return rank(a.by, b.by) },
		func(a, b certified) int {
			return cmp.Or(cmp.Compare(a.cert.Issued.Unix(), b.cert.Issued.Unix()), bytes.Compare(a.leaf, b.leaf))
		})
	out.departures = unite(it.departures, o.departures, maxDepartures,
		func(a, b departed) int { return cmp.Or(cmp.Compare(b.State, a.State), rank(a.by, b.by)) },
		func(a, b departed) int {
			return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Body, b.Body), bytes.Compare(a.Sig, b.Sig))
		})
	out.powers = unite(it.powers, o.powers, maxPowers,
		func(a, b *issuer) int {
			return cmp.Or(cmp.Compare(len(a.machines), len(b.machines)), cmp.Compare(a.parent(), b.parent()))
		},
		func(a, b *issuer) int {
			return cmp.Or(cmp.Compare(a.issued, b.issued), bytes.Compare(a.der, b.der))
		})
	return out.sealed()
}

// unite merges two lists that are in order: of entries that the order holds for
// equal the newest stays, and of all the first so many.
func unite[T any](a, b []T, most int, order, newest func(a, b T) int) []T {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y T) int { return cmp.Or(order(x, y), newest(y, x)) })
	all = slices.CompactFunc(all, func(x, y T) bool { return order(x, y) == 0 })
	return slices.Clip(all[:min(len(all), most)])
}

func newer[T int64 | uint64](b, a T, bytesB, bytesA []byte) bool {
	return b > a || b == a && bytes.Compare(bytesB, bytesA) > 0
}

// sealed computes the hash by which entries are compared.
func (it *item) sealed() *item {
	it.hash = it.entry().hash()
	return it
}

// current is the newest certificate whose issuers were not revoked; ok is false
// when there is none, and it is then the newest of all.
func (it *item) current(out map[MachineID]bool) (c certified, ok bool) {
	for _, x := range it.certs {
		sound := x.by.without(out)
		if c.cert == nil || sound && !ok || sound == ok && newer(x.cert.Issued.Unix(), c.cert.Issued.Unix(), x.leaf, c.leaf) {
			c, ok = x, sound
		}
	}
	return c, ok
}

// power is the newest issuer chain of the machine that was not revoked, nil for none.
func (it *item) power(out map[MachineID]bool) *issuer {
	var best *issuer
	for _, p := range it.powers {
		if p.without(out) && (best == nil || rank(p, best) < 0) {
			best = p
		}
	}
	return best
}

// member returns what the entry amounts to when the machines in out are revoked.
func (it *item) member(out map[MachineID]bool) Member {
	c, sound := it.current(out)
	m := Member{
		Certificate: *c.cert, Addrs: it.said.Addrs, Name: cmp.Or(it.said.Label, c.cert.Label),
		Version: it.said.Version, Seq: it.said.Seq,
	}
	for _, d := range it.departures {
		if d.State == Revoked || !d.by.without(out) {
			continue
		}
		m.ended = max(m.ended, d.At)
		if m.Issued.Unix() <= d.At {
			m.State = max(m.State, d.State)
		}
	}
	switch {
	case out[m.Machine]:
		m.State = Revoked
	case !sound:
		m.State = Orphaned
	}
	m.Issuing = m.State == Present && it.power(out) != nil
	return m
}
