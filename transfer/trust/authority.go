package trust

import (
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
	"time"
)

// How long certificates are valid. They begin a day early, so that a slow clock
// on another machine does no harm.
const (
	caValidity   = 20 * 365 * 24 * time.Hour
	leafValidity = 5 * 365 * 24 * time.Hour
	backdated    = 24 * time.Hour
)

// Authority is an issuer's ability to issue, with the root's key beside it on the
// machine that created the ring. It does not change and may be shared.
type Authority struct {
	root    *Root
	rootKey ed25519.PrivateKey // nil: not kept on this machine
	key     ed25519.PrivateKey
	cert    *x509.Certificate
	machine MachineID
}

// CreateRing makes the root of a new ring and the issuer that belongs to the
// machine with the key first. The error is [ErrSettings] for settings that cannot
// keep the ring's promises. Nothing is stored; see [Authority.Save].
func CreateRing(name string, n, w, r int, first ed25519.PublicKey, now time.Time) (*Authority, error) {
	g := Genesis{Format: genesisFormat, Name: name, N: n, W: w, R: r, Created: now.Unix()}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	rootPub, rootKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	template := caTemplate("dhtfs root", now)
	template.MaxPathLen = 1
	template.ExtraExtensions = []pkix.Extension{{Id: oidGenesis, Value: mustEncode(g)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, rootPub, rootKey)
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	root, err := ParseRoot(der)
	if err != nil {
		return nil, err
	}
	return newIssuer(root, rootKey, MachineOf(first), now)
}

// newIssuer makes an issuer's key and has it certified by the root.
func newIssuer(root *Root, rootKey ed25519.PrivateKey, machine MachineID, now time.Time) (*Authority, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create issuer: %w", err)
	}
	template := caTemplate("dhtfs issuer", now)
	template.MaxPathLenZero = true
	template.ExtraExtensions = []pkix.Extension{{Id: oidIssuer, Value: mustEncode(issuerExtension{machine})}}
	der, err := x509.CreateCertificate(rand.Reader, template, root.cert, pub, rootKey)
	if err != nil {
		return nil, fmt.Errorf("create issuer: %w", err)
	}
	cert, _, err := root.verifyIssuer(der)
	if err != nil {
		return nil, err
	}
	return &Authority{root: root, rootKey: rootKey, key: key, cert: cert, machine: machine}, nil
}

// Root returns the ring's trust anchor.
func (a *Authority) Root() *Root { return a.root }

// Machine returns the machine this issuer belongs to.
func (a *Authority) Machine() MachineID { return a.machine }

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
		ext.Issued = max(ext.Issued, known.ended+1, known.Issued.Unix()+1)
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
		NotAfter:        now.Add(leafValidity),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: oidLeaf, Value: mustEncode(ext)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue: %w", err)
	}
	return [][]byte{der, a.cert.Raw, a.root.cert.Raw}, nil
}

// Save stores the authority's keys and certificates under dir, mode 0600, the
// root's key in a file of its own. It is durable when Save returns.
func (a *Authority) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	if a.rootKey != nil {
		if err := saveKey(filepath.Join(dir, rootKeyFile), a.rootKey); err != nil {
			return err
		}
	}
	if err := saveKey(filepath.Join(dir, issuerKeyFile), a.key); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, issuerCert), encodePEM(pemCertificate, a.cert.Raw, a.root.cert.Raw))
}

// LoadAuthority reads what [Authority.Save] stored. A machine that is no issuer
// has none: the error is then fs.ErrNotExist.
func LoadAuthority(dir string) (*Authority, error) {
	chain, err := readPEM(filepath.Join(dir, issuerCert), pemCertificate, 2)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	root, err := ParseRoot(chain[1])
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	cert, machine, err := root.verifyIssuer(chain[0])
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	key, err := loadKey(filepath.Join(dir, issuerKeyFile))
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	if !key.Public().(ed25519.PublicKey).Equal(cert.PublicKey) {
		return nil, fmt.Errorf("load authority: %w: key is not the certificate's", ErrCertificate)
	}
	rootKey, err := loadKey(filepath.Join(dir, rootKeyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	return &Authority{root: root, rootKey: rootKey, key: key, cert: cert, machine: machine}, nil
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
