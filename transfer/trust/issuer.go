package trust

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// maxDepth bounds the issuers between the root and what is signed: each was made
// an issuer by the one before.
const maxDepth = 8

// issuer is a chain of issuer certificates up to the root, verified in everything
// but time. It does not change. The root itself is one, of no machine.
type issuer struct {
	der       []byte // the certificates one after the other, its own first, without the root's
	certs     []*x509.Certificate
	machines  []MachineID // that may sign by these certificates, its own first
	issued    int64       // Unix seconds; 0 in certificates of the first version
	notBefore time.Time
	notAfter  time.Time
}

// machine is whose power it is; zero for the root.
func (i *issuer) machine() MachineID {
	if len(i.machines) == 0 {
		return MachineID{}
	}
	return i.machines[0]
}

// cert is the certificate that signs.
func (i *issuer) cert() *x509.Certificate { return i.certs[0] }

// parent is the chain above, which tells certificates of one machine apart.
func (i *issuer) parent() string { return string(i.der[len(i.cert().Raw):]) }

// chain is the DER of the certificates one by one.
func (i *issuer) chain() [][]byte {
	var out [][]byte
	for _, c := range i.certs {
		out = append(out, c.Raw)
	}
	return out
}

// rank orders issuers by seniority: the root first, then those nearer to it, then
// those made earlier. Neither is for an issuer to choose.
func rank(a, b *issuer) int {
	return cmp.Or(cmp.Compare(len(a.machines), len(b.machines)), cmp.Compare(a.issued, b.issued), bytes.Compare(a.der, b.der))
}

// without reports whether none of the machines in the chain is in out.
func (i *issuer) without(out map[MachineID]bool) bool {
	return !slices.ContainsFunc(i.machines, func(m MachineID) bool { return out[m] })
}

// rootIssuer is the root as a signer.
func (r *Root) rootIssuer() *issuer {
	return &issuer{
		der: r.cert.Raw, certs: []*x509.Certificate{r.cert},
		notBefore: r.cert.NotBefore, notAfter: r.cert.NotAfter,
	}
}

// maxKnownIssuers bounds the chains that a root remembers to have verified.
const maxKnownIssuers = 1024

// issuer verifies a chain of issuer certificates in DER, one after the other, that
// ends below the root. Few issuers sign for many machines: what was verified once
// is remembered.
func (r *Root) issuer(der []byte) (*issuer, error) {
	key := sha256.Sum256(der)
	r.mu.Lock()
	known := r.issuers[key]
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := r.verifyIssuer(der)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.issuers == nil || len(r.issuers) >= maxKnownIssuers {
		r.issuers = make(map[[32]byte]*issuer)
	}
	r.issuers[key] = made
	return made, nil
}

func (r *Root) verifyIssuer(der []byte) (*issuer, error) {
	if len(der) > maxDepth*maxCertificate {
		return nil, fmt.Errorf("%w: issuers of %d bytes", ErrCertificate, len(der))
	}
	certs, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("%w: issuer: %w", ErrCertificate, err)
	}
	if len(certs) == 0 || len(certs) > maxDepth {
		return nil, fmt.Errorf("%w: %d issuers", ErrCertificate, len(certs))
	}
	made := &issuer{der: der, certs: certs, notBefore: certs[0].NotBefore, notAfter: certs[0].NotAfter}
	for k, c := range certs {
		if _, err := parseCertificate(c.Raw); err != nil {
			return nil, fmt.Errorf("issuer: %w", err)
		}
		if !c.IsCA || len(c.UnhandledCriticalExtensions) > 0 {
			return nil, fmt.Errorf("%w: issuer may not issue", ErrCertificate)
		}
		above := r.cert
		if k+1 < len(certs) {
			above = certs[k+1]
		}
		if err := c.CheckSignatureFrom(above); err != nil {
			return nil, fmt.Errorf("%w: issuer is not signed by the root", ErrForeign)
		}
		var ext issuerExtension
		if err := extension(c, oidIssuer, &ext); err != nil {
			return nil, fmt.Errorf("issuer: %w", err)
		}
		made.machines = append(made.machines, ext.Machine)
		if k == 0 {
			made.issued = ext.Issued
		}
		made.notBefore = later(made.notBefore, c.NotBefore)
		if c.NotAfter.Before(made.notAfter) {
			made.notAfter = c.NotAfter
		}
	}
	return made, nil
}

// signer verifies who signed a statement: issuers, or the root itself.
func (r *Root) signer(der []byte) (*issuer, error) {
	if bytes.Equal(der, r.cert.Raw) {
		return r.rootIssuer(), nil
	}
	return r.issuer(der)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
