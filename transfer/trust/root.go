package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"
)

// The private extensions; see the package comment.
var (
	oidGenesis = asn1.ObjectIdentifier{1, 3, 6, 1, 3, 7041, 1}
	oidIssuer  = asn1.ObjectIdentifier{1, 3, 6, 1, 3, 7041, 2}
	oidLeaf    = asn1.ObjectIdentifier{1, 3, 6, 1, 3, 7041, 3}
)

// Root is a ring's trust anchor. It does not change and may be shared.
type Root struct {
	cert    *x509.Certificate
	genesis Genesis
}

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

// Verify checks a chain of DER certificates [leaf, issuer, ...] up to this root,
// in everything but time; for that see [Certificate.ValidAt]. Certificates after
// the second are not looked at. The errors are [ErrForeign] and [ErrCertificate].
func (r *Root) Verify(chain [][]byte) (*Certificate, error) {
	if len(chain) < 2 {
		return nil, fmt.Errorf("%w: chain of %d certificates", ErrCertificate, len(chain))
	}
	leaf, err := parseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("leaf: %w", err)
	}
	issuer, machine, err := r.verifyIssuer(chain[1])
	if err != nil {
		return nil, err
	}
	if leaf.IsCA || len(leaf.UnhandledCriticalExtensions) > 0 {
		return nil, fmt.Errorf("%w: leaf is a certificate authority or has unknown critical extensions", ErrCertificate)
	}
	if err := leaf.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("%w: leaf is not signed by its issuer", ErrForeign)
	}
	return newCertificate(leaf, issuer, machine)
}

// verifyIssuer checks one issuer certificate and returns the issuing machine.
func (r *Root) verifyIssuer(der []byte) (*x509.Certificate, MachineID, error) {
	issuer, err := parseCertificate(der)
	if err != nil {
		return nil, MachineID{}, fmt.Errorf("issuer: %w", err)
	}
	if !issuer.IsCA || !issuer.MaxPathLenZero || len(issuer.UnhandledCriticalExtensions) > 0 {
		return nil, MachineID{}, fmt.Errorf("%w: issuer may not issue", ErrCertificate)
	}
	if err := issuer.CheckSignatureFrom(r.cert); err != nil {
		return nil, MachineID{}, fmt.Errorf("%w: issuer is not signed by the root", ErrForeign)
	}
	var ext issuerExtension
	if err := extension(issuer, oidIssuer, &ext); err != nil {
		return nil, MachineID{}, fmt.Errorf("issuer: %w", err)
	}
	return issuer, ext.Machine, nil
}

// validAt reports as [ErrClock] that now lies outside a certificate's validity.
func validAt(notBefore, notAfter, now time.Time) error {
	const layout = "2006-01-02 15:04"
	switch {
	case now.Before(notBefore):
		return fmt.Errorf("%w: it begins on %s, here it is %s", ErrClock,
			notBefore.UTC().Format(layout), now.UTC().Format(layout))
	case now.After(notAfter):
		return fmt.Errorf("%w: it ended on %s, here it is %s", ErrClock,
			notAfter.UTC().Format(layout), now.UTC().Format(layout))
	}
	return nil
}

// publicKey returns the key of a certificate that parseCertificate accepted.
func publicKey(cert *x509.Certificate) ed25519.PublicKey { return cert.PublicKey.(ed25519.PublicKey) }
