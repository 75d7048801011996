package trust

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
)

// Identity is this machine as a member: its key and its chain. It does not change
// and may be shared.
type Identity struct {
	key   ed25519.PrivateKey
	root  *Root
	cert  *Certificate
	chain [][]byte // leaf, issuer, root
}

// NewIdentity joins a machine's key with the chain [leaf, issuer, root] that was
// issued for it. The caller has made sure that the root is the ring's.
func NewIdentity(key ed25519.PrivateKey, chain [][]byte) (*Identity, error) {
	if len(chain) != 3 || len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: chain of %d certificates, key of %d bytes", ErrCertificate, len(chain), len(key))
	}
	root, err := ParseRoot(chain[2])
	if err != nil {
		return nil, err
	}
	cert, err := root.Verify(chain)
	if err != nil {
		return nil, err
	}
	if !cert.Key.Equal(key.Public()) {
		return nil, fmt.Errorf("%w: it is for another key", ErrCertificate)
	}
	return &Identity{key: key, root: root, cert: cert, chain: chain}, nil
}

// Machine returns this machine's ID.
func (id *Identity) Machine() MachineID { return id.cert.Machine }

// Certificate returns what this machine's certificate says.
func (id *Identity) Certificate() *Certificate { return id.cert }

// Chain returns the DER of leaf, issuer and root. The caller must not change it.
func (id *Identity) Chain() [][]byte { return id.chain }

// Root returns the ring's trust anchor.
func (id *Identity) Root() *Root { return id.root }

// Positions returns this machine's places on the ring.
func (id *Identity) Positions() [][20]byte { return id.cert.Positions() }

// Sign signs msg with the machine's key in a domain of the caller's; see [Sign].
func (id *Identity) Sign(domain string, msg []byte) []byte { return Sign(id.key, domain, msg) }

// Save stores key and chain under dir, mode 0600; durable when it returns.
func (id *Identity) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	if err := saveKey(filepath.Join(dir, nodeKeyFile), id.key); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, nodeCertFile), encodePEM(pemCertificate, id.chain...))
}

// LoadIdentity reads what [Identity.Save] stored. A machine that has not joined
// has none: the error is then fs.ErrNotExist.
func LoadIdentity(dir string) (*Identity, error) {
	chain, err := readPEM(filepath.Join(dir, nodeCertFile), pemCertificate, 3)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	key, err := loadKey(filepath.Join(dir, nodeKeyFile))
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	id, err := NewIdentity(key, chain)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	return id, nil
}
