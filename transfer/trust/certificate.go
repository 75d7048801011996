package trust

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"
)

// MaxVnodes bounds the positions of one machine.
const MaxVnodes = 64

type issuerExtension struct {
	Machine MachineID `cbor:"1,keyasint"`
	Issued  int64     `cbor:"2,keyasint,omitempty"` // Unix seconds
}

type leafExtension struct {
	Nonce  [16]byte `cbor:"1,keyasint"`
	Vnodes int      `cbor:"2,keyasint"`
	Label  string   `cbor:"3,keyasint"`
	Issued int64    `cbor:"4,keyasint"`
}

// Certificate is what a verified node certificate says.
type Certificate struct {
	Machine   MachineID
	Key       ed25519.PublicKey
	Issuer    MachineID   // the machine that issued it
	Issuers   []MachineID // it, who made it an issuer, and so on up to the root
	Label     string      // the name the machine joined with
	Nonce     [16]byte
	Vnodes    int
	Issued    time.Time
	NotBefore time.Time // of leaf and issuers together
	NotAfter  time.Time
}

// RenewAt is when two thirds of the certificate's time are over.
func (c *Certificate) RenewAt() time.Time { return c.Issued.Add(2 * c.NotAfter.Sub(c.Issued) / 3) }

// Positions returns the machine's places on the ring.
func (c *Certificate) Positions() [][20]byte { return Positions(c.Key, c.Nonce, c.Vnodes) }

// ValidAt reports as [ErrClock] that now lies outside the certificate's validity.
func (c *Certificate) ValidAt(now time.Time) error {
	return validAt(c.NotBefore, c.NotAfter, now)
}

// newCertificate reads the leaf of a chain whose signatures were checked.
func newCertificate(leaf *x509.Certificate, by *issuer) (*Certificate, error) {
	var ext leafExtension
	if err := extension(leaf, oidLeaf, &ext); err != nil {
		return nil, fmt.Errorf("leaf: %w", err)
	}
	if ext.Vnodes < 1 || ext.Vnodes > MaxVnodes {
		return nil, fmt.Errorf("%w: %d virtual nodes", ErrCertificate, ext.Vnodes)
	}
	if err := checkText(ext.Label, maxLabel); err != nil {
		return nil, fmt.Errorf("%w: label: %w", ErrCertificate, err)
	}
	key := publicKey(leaf)
	c := &Certificate{
		Machine: MachineOf(key), Key: key, Issuer: by.machine(), Issuers: by.machines,
		Label: ext.Label, Nonce: ext.Nonce, Vnodes: ext.Vnodes,
		Issued:    time.Unix(ext.Issued, 0).UTC(),
		NotBefore: later(leaf.NotBefore, by.notBefore), NotAfter: leaf.NotAfter,
	}
	if by.notAfter.Before(c.NotAfter) {
		c.NotAfter = by.notAfter
	}
	return c, nil
}

// parseCertificate parses one DER certificate with an ed25519 key.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("%w: %d bytes", ErrCertificate, len(der))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if _, ok := cert.PublicKey.(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("%w: key is not ed25519", ErrCertificate)
	}
	return cert, nil
}

// extension decodes the private extension with the given OID into v.
func extension(cert *x509.Certificate, oid asn1.ObjectIdentifier, v any) error {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oid) {
			if err := decMode.Unmarshal(ext.Value, v); err != nil {
				return fmt.Errorf("%w: extension %v: %w", ErrCertificate, oid, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: extension %v is missing", ErrCertificate, oid)
}
