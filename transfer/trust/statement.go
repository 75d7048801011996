package trust

import (
	"fmt"
	"time"
)

// The domains of what is signed for the member set.
const (
	domainAnnouncement = "dhtfs announcement 1"
	domainDeparture    = "dhtfs departure 1"
)

// State tells whether a member still is one. The numbers are on the wire: append
// only, in order of weight.
type State int

// The states of a member.
const (
	Present   State = 0
	LoggedOut State = 1 // by itself
	Forgotten State = 2 // by an issuer, since it does not come back
	Revoked   State = 3 // by an issuer, for ever
	Orphaned  State = 4 // who let it in was revoked, and nobody else vouches for it; never in a statement
)

// String returns one lower-case word.
func (s State) String() string {
	switch s {
	case Present:
		return "present"
	case LoggedOut:
		return "left"
	case Forgotten:
		return "forgotten"
	case Revoked:
		return "revoked"
	case Orphaned:
		return "orphaned"
	}
	return fmt.Sprintf("state(%d)", int(s))
}

// signed is a statement as it was signed, kept byte for byte.
type signed struct {
	Body   []byte `cbor:"1,keyasint"`
	Sig    []byte `cbor:"2,keyasint"`
	Issuer []byte `cbor:"3,keyasint,omitempty"` // DER of the signing issuers up to the root, or of the root; absent: the machine itself
}

// announcement is what a member says about itself. Whose it is, the key tells that
// signed it.
type announcement struct {
	Seq     uint64   `cbor:"1,keyasint"`
	Addrs   []string `cbor:"2,keyasint"`
	Label   string   `cbor:"3,keyasint"`
	Version string   `cbor:"4,keyasint"`
}

// departure ends a membership.
type departure struct {
	Machine MachineID `cbor:"1,keyasint"`
	State   State     `cbor:"2,keyasint"`
	At      int64     `cbor:"3,keyasint"` // Unix seconds; ends certificates issued up to then
}

// verifyAnnouncement checks that the machine of cert signed it about itself.
func verifyAnnouncement(s signed, cert *Certificate) (announcement, error) {
	var a announcement
	if err := Verify(cert.Key, domainAnnouncement, s.Body, s.Sig); err != nil {
		return a, err
	}
	if err := decMode.Unmarshal(s.Body, &a); err != nil {
		return a, fmt.Errorf("%w: announcement: %w", ErrBadMembers, err)
	}
	if checkAddrs(a.Addrs) != nil ||
		checkText(a.Label, maxLabel) != nil || checkText(a.Version, maxVersion) != nil {
		return a, fmt.Errorf("%w: announcement of %x", ErrBadMembers, cert.Machine[:6])
	}
	return a, nil
}

// departed is a departure with its signature and who made it.
type departed struct {
	signed
	departure
	by *issuer // of no machines for the machine itself
}

// itself signs for a machine's own logout.
var itself = new(issuer)

// verifyDeparture checks that a logout was signed by the machine itself, anything
// else by an issuer of the ring or by the root.
func verifyDeparture(s signed, cert *Certificate, root *Root) (departed, error) {
	d := departed{signed: s, by: itself}
	if err := decMode.Unmarshal(s.Body, &d.departure); err != nil {
		return d, fmt.Errorf("%w: departure: %w", ErrBadMembers, err)
	}
	if d.Machine != cert.Machine || d.State < LoggedOut || d.State > Revoked {
		return d, fmt.Errorf("%w: departure of %x", ErrBadMembers, cert.Machine[:6])
	}
	if (d.State == LoggedOut) != (len(s.Issuer) == 0) {
		return d, fmt.Errorf("%w: %s of %x is signed by the wrong party", ErrBadMembers, d.State, cert.Machine[:6])
	}
	key := cert.Key
	if d.State != LoggedOut {
		by, err := root.signer(s.Issuer)
		if err != nil {
			return d, err
		}
		d.by, key = by, publicKey(by.cert())
	}
	return d, Verify(key, domainDeparture, s.Body, s.Sig)
}

// signDeparture signs a departure with key; issuer is nil for the machine's own.
func signDeparture(d departure, sign func(domain string, msg []byte) []byte, issuer []byte) signed {
	body := mustEncode(d)
	return signed{Body: body, Sig: sign(domainDeparture, body), Issuer: issuer}
}

// departureTime is the time a departure is given, so that it ends cert even when
// the clocks of its issuer and of the signing machine differ.
func departureTime(now time.Time, cert *Certificate) int64 {
	return max(now.Unix(), cert.Issued.Unix())
}
