package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"sync"
	"time"
)

// The private extensions; see the package comment.
var (
	oidGenesis = asn1.ObjectIdentifier{1, 3, 6, 1, 3, 7041, 1}
	oidIssuer  = asn1.ObjectIdentifier{1, 3, 6, 1, 3, 7041, 2}
	oidLeaf    = asn1.ObjectIdentifier{1, 3, 6, 1, 3, 7041, 3}
)

// Root is a ring's trust anchor. It may be shared.
type Root struct {
	cert    *x509.Certificate
	genesis Genesis

	mu      sync.Mutex
	issuers map[[32]byte]*issuer     // verified before, by the hash of their DER
	leaves  map[leafKey]*Certificate // likewise
}

// leafKey is a node's certificate under its issuers: the hashes of their DER.
type leafKey struct{ leaf, by [32]byte }

// maxKnownLeaves bounds the certificates that a root remembers to have verified.
const maxKnownLeaves = 4096

// ParseRoot reads a root certificate and checks it against itself. Whether it is
// the root one wants is for the caller to know, by ID or Fingerprint.
func ParseRoot(der []byte) (*Root, error) {
	cert, err := parseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if !cert.IsCA || len(cert.UnhandledCriticalExtensions) > 0 {
		return nil, fmt.Errorf("%w: root is no certificate authority", ErrCertificate)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, fmt.Errorf("%w: root is not signed by itself", ErrCertificate)
	}
	r := &Root{cert: cert}
	if err := extension(cert, oidGenesis, &r.genesis); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if err := r.genesis.Validate(); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	return r, nil
}

// ID returns the ring ID: the SHA-256 of the root's raw public key.
func (r *Root) ID() [32]byte { return sha256.Sum256(publicKey(r.cert)) }

// Fingerprint returns the SHA-256 of the root certificate, settings included.
func (r *Root) Fingerprint() [32]byte { return sha256.Sum256(r.cert.Raw) }

// Genesis returns the ring's settings.
func (r *Root) Genesis() Genesis { return r.genesis }

// DER returns the root certificate. The caller must not change it.
func (r *Root) DER() []byte { return r.cert.Raw }

// Verify checks a chain of DER certificates [leaf, issuers...], the root's at the
// end or not, in everything but time; for that see [Certificate.ValidAt]. The
// result is shared and must not be changed. The errors are [ErrForeign] and
// [ErrCertificate].
func (r *Root) Verify(chain [][]byte) (*Certificate, error) {
	if len(chain) > 0 && bytes.Equal(chain[len(chain)-1], r.cert.Raw) {
		chain = chain[:len(chain)-1]
	}
	if len(chain) < 2 {
		return nil, fmt.Errorf("%w: chain of %d certificates", ErrCertificate, len(chain))
	}
	by, err := r.issuer(bytes.Join(chain[1:], nil))
	if err != nil {
		return nil, err
	}
	return r.leaf(chain[0], by)
}

// leaf verifies a node's certificate. Each of a handshake's two sides asks for
// that more than once, and members meet again and again: what was verified once
// is remembered.
func (r *Root) leaf(der []byte, by *issuer) (*Certificate, error) {
	key := leafKey{sha256.Sum256(der), sha256.Sum256(by.der)}
	r.mu.Lock()
	known := r.leaves[key]
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := verifyLeaf(der, by)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaves == nil || len(r.leaves) >= maxKnownLeaves {
		r.leaves = make(map[leafKey]*Certificate)
	}
	r.leaves[key] = made
	return made, nil
}

// verifyLeaf checks a node's certificate against its issuer.
func verifyLeaf(der []byte, by *issuer) (*Certificate, error) {
	leaf, err := parseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("leaf: %w", err)
	}
	if leaf.IsCA || len(leaf.UnhandledCriticalExtensions) > 0 {
		return nil, fmt.Errorf("%w: leaf is a certificate authority or has unknown critical extensions", ErrCertificate)
	}
	if err := leaf.CheckSignatureFrom(by.cert()); err != nil {
		return nil, fmt.Errorf("%w: leaf is not signed by its issuer", ErrForeign)
	}
	return newCertificate(leaf, by)
}

// validAt reports as [ErrClock] that now lies outside a certificate's validity.
func validAt(notBefore, notAfter, now time.Time) error {
	const layout = "2006-01-02 15:04"
	switch {
	case now.Before(notBefore):
		return fmt.Errorf("%w: it begins on %s, here it is %s, %s earlier", ErrClock,
			notBefore.UTC().Format(layout), now.UTC().Format(layout), roughly(notBefore.Sub(now)))
	case now.After(notAfter):
		return fmt.Errorf("%w: it ended on %s, here it is %s, %s later", ErrClock,
			notAfter.UTC().Format(layout), now.UTC().Format(layout), roughly(now.Sub(notAfter)))
	}
	return nil
}

// roughly is a time for people: days, or hours and minutes.
func roughly(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d.Round(24*time.Hour)/(24*time.Hour))
	}
	return d.Round(time.Minute).String()
}

// publicKey returns the key of a certificate that parseCertificate accepted.
func publicKey(cert *x509.Certificate) ed25519.PublicKey { return cert.PublicKey.(ed25519.PublicKey) }
