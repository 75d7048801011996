package trust

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// How long certificates are valid. They begin a day early, so that a slow clock
// on another machine does no harm. That of a node is renewed by itself when two
// thirds are over; see [Authority.Renew].
const (
	caValidity   = 20 * 365 * 24 * time.Hour
	leafValidity = 90 * 24 * time.Hour
	backdated    = 24 * time.Hour
)

// Authority is an issuer's ability to issue, with the root's key beside it on the
// machine that created the ring. It does not change and may be shared, but for
// Lifetime, which is set before.
type Authority struct {
	// Lifetime is how long the certificates that it issues are valid. Zero: 90 days.
	Lifetime time.Duration

	root    *Root
	rootKey ed25519.PrivateKey // nil: not kept on this machine
	key     ed25519.PrivateKey
	by      *issuer
}

// CreateRing makes the root of a new ring and the issuer that belongs to the
// machine with the key first. The error is [ErrSettings] for settings that cannot
// keep the ring's promises. Nothing is stored; see [Authority.Save].
func CreateRing(name string, n, w, r int, first ed25519.PrivateKey, now time.Time) (*Authority, error) {
	g := Genesis{Format: genesisFormat, Name: name, N: n, W: w, R: r, Created: now.Unix()}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	rootPub, rootKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	template := caTemplate("dhtfs root", now)
	template.ExtraExtensions = []pkix.Extension{{Id: oidGenesis, Value: mustEncode(g)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, rootPub, rootKey)
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	root, err := ParseRoot(der)
	if err != nil {
		return nil, err
	}
	a := &Authority{root: root, rootKey: rootKey}
	pub := first.Public().(ed25519.PublicKey)
	if der, err = a.certifyIssuer(pub, MachineOf(pub), now); err != nil {
		return nil, err
	}
	made, err := NewAuthority(root, first, der)
	if err != nil {
		return nil, err
	}
	made.rootKey = rootKey
	return made, nil
}

// NewAuthority is the ability to issue of a machine whose key, or key for issuing,
// is certified by a chain of issuers in DER, one after the other.
func NewAuthority(root *Root, key ed25519.PrivateKey, chain []byte) (*Authority, error) {
	by, err := root.issuer(chain)
	if err != nil {
		return nil, err
	}
	if !key.Public().(ed25519.PublicKey).Equal(by.cert().PublicKey) {
		return nil, fmt.Errorf("%w: issuer's key is not the certificate's", ErrCertificate)
	}
	return &Authority{root: root, key: key, by: by}, nil
}

// With returns the issuer that a newer chain makes of this one: the root's key, if
// it is here, stays.
func (a *Authority) With(newer *Authority) *Authority {
	newer.rootKey = a.rootKey
	return newer
}

// certifyIssuer makes a machine's key an issuer's: by the root, where its key is
// kept here, else by this issuer. It returns the chain up to the root.
func (a *Authority) certifyIssuer(pub ed25519.PublicKey, machine MachineID, now time.Time) ([]byte, error) {
	parent, key, above := a.root.cert, a.rootKey, []byte(nil)
	if key == nil {
		parent, key, above = a.by.cert(), a.key, a.by.der
		if len(a.by.machines) >= maxDepth {
			return nil, fmt.Errorf("certify issuer: %w: there are %d issuers between the root and it", ErrSeniority, maxDepth)
		}
	}
	template := caTemplate("dhtfs issuer", now)
	template.ExtraExtensions = []pkix.Extension{{Id: oidIssuer, Value: mustEncode(issuerExtension{machine, now.Unix()})}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("certify issuer: %w", err)
	}
	return slices.Concat(der, above), nil
}

// signDeparture signs a statement about a member: with the root's key, where that
// is kept here, since it outranks every issuer's.
func (a *Authority) signDeparture(d departure) signed {
	key, by := a.rootKey, a.root.cert.Raw
	if key == nil {
		key, by = a.key, a.by.der
	}
	return signDeparture(d, func(domain string, msg []byte) []byte { return Sign(key, domain, msg) }, by)
}

// Root returns the ring's trust anchor.
func (a *Authority) Root() *Root { return a.root }

// Machine returns the machine this issuer belongs to.
func (a *Authority) Machine() MachineID { return a.by.machine() }

// Power returns the issuer's chain in DER, one certificate after the other.
func (a *Authority) Power() []byte { return a.by.der }

// Issue certifies a machine's key and returns its chain. Label is at most 64
// printable bytes, vnodes 1 to [MaxVnodes]. The place on the ring is chosen
// beside the positions of the living members. A machine that departed before is
// issued a certificate that its departure does not end; a revoked one is refused
// with [ErrRevoked]. A member that is issued another certificate keeps its nonce.
func (a *Authority) Issue(pub ed25519.PublicKey, label string, vnodes int, members *Members, now time.Time) ([][]byte, error) {
	if len(pub) != ed25519.PublicKeySize || vnodes < 1 || vnodes > MaxVnodes || checkText(label, maxLabel) != nil {
		return nil, fmt.Errorf("%w: key of %d bytes, %d virtual nodes, label %q", ErrBadRequest, len(pub), vnodes, label)
	}
	ext := leafExtension{Vnodes: vnodes, Label: label, Issued: now.Unix()}
	known, again := members.Get(MachineOf(pub))
	switch {
	case again && known.State == Revoked:
		return nil, fmt.Errorf("issue: %w", ErrRevoked)
	case again:
		ext.Nonce = known.Nonce
		ext.Issued = max(ext.Issued, known.ended+1)
		if known.State != Orphaned { // those that ended its certificates may have dated them as they liked
			ext.Issued = max(ext.Issued, known.Issued.Unix()+1)
		}
	default:
		var taken [][20]byte
		for _, m := range members.Alive() {
			taken = append(taken, m.Positions()...)
		}
		var err error
		if ext.Nonce, err = PickNonce(rand.Reader, pub, vnodes, taken); err != nil {
			return nil, err
		}
	}
	template := &x509.Certificate{
		SerialNumber:    serial(),
		Subject:         pkix.Name{CommonName: "dhtfs node"},
		NotBefore:       now.Add(-backdated),
		NotAfter:        now.Add(cmp.Or(a.Lifetime, leafValidity)),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: oidLeaf, Value: mustEncode(ext)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.by.cert(), pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	return slices.Concat([][]byte{der}, a.by.chain(), [][]byte{a.root.cert.Raw}), nil
}

// Renew certifies a member anew, as what it is: its key, label and place stay. The
// errors are [ErrRevoked], [ErrDeparted] and [ErrNoMember].
func (a *Authority) Renew(pub ed25519.PublicKey, members *Members, now time.Time) ([][]byte, error) {
	known, ok := members.Get(MachineOf(pub))
	switch {
	case !ok:
		return nil, fmt.Errorf("renew: %w", ErrNoMember)
	case known.State == Revoked || known.State == Orphaned:
		return nil, fmt.Errorf("renew: %w", ErrRevoked)
	case known.State != Present:
		return nil, fmt.Errorf("renew: %w", ErrDeparted)
	}
	return a.Issue(pub, known.Label, known.Vnodes, members, now)
}

// Save stores the authority's chain under dir, and the root's key, if it is here,
// in a file of its own; mode 0600. The issuer's own key is the machine's, which
// [Identity.Save] stores. It is durable when Save returns.
func (a *Authority) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	if a.rootKey != nil {
		if err := saveKey(filepath.Join(dir, rootKeyFile), a.rootKey); err != nil {
			return err
		}
	}
	blocks := append(a.by.chain(), a.root.cert.Raw)
	return writeFile(filepath.Join(dir, issuerCert), encodePEM(pemCertificate, blocks...))
}

// LoadAuthority reads what [Authority.Save] stored. A machine that is no issuer
// has none: the error is then fs.ErrNotExist.
func LoadAuthority(dir string) (*Authority, error) {
	chain, err := readPEM(filepath.Join(dir, issuerCert), pemCertificate, 2, 1+maxDepth)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	last := len(chain) - 1
	root, err := ParseRoot(chain[last])
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	key, err := loadKey(filepath.Join(dir, issuerKeyFile)) // of a ring made by the first version
	if errors.Is(err, fs.ErrNotExist) {
		key, err = loadKey(filepath.Join(dir, nodeKeyFile))
	}
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	a, err := NewAuthority(root, key, bytes.Join(chain[:last], nil))
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	a.rootKey, err = loadKey(filepath.Join(dir, rootKeyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	return a, nil
}

func caTemplate(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(caValidity),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
}

// serial draws a certificate's serial number: 127 random bits.
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b[:])
}
