package trust

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
)

// Identity is this machine as a member: its key and its chain. It may be shared;
// what changes is only that the chain is renewed.
type Identity struct {
	key     ed25519.PrivateKey
	root    *Root
	current atomic.Pointer[credentials]
}

// credentials are what a certificate says and its chain: leaf, issuers, root.
type credentials struct {
	cert  *Certificate
	chain [][]byte
}

// NewIdentity joins a machine's key with the chain [leaf, issuers..., root] that was
// issued for it. The caller has made sure that the root is the ring's.
func NewIdentity(key ed25519.PrivateKey, chain [][]byte) (*Identity, error) {
	if len(chain) < 3 || len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: chain of %d certificates, key of %d bytes", ErrCertificate, len(chain), len(key))
	}
	root, err := ParseRoot(chain[len(chain)-1])
	if err != nil {
		return nil, err
	}
	id := &Identity{key: key, root: root}
	cert, err := id.verify(chain)
	if err != nil {
		return nil, err
	}
	id.current.Store(&credentials{cert, chain})
	return id, nil
}

// verify checks that a chain is this machine's.
func (id *Identity) verify(chain [][]byte) (*Certificate, error) {
	cert, err := id.root.Verify(chain)
	if err != nil {
		return nil, err
	}
	if !cert.Key.Equal(id.key.Public()) {
		return nil, fmt.Errorf("%w: it is for another key", ErrCertificate)
	}
	return cert, nil
}

// Renew replaces the chain by a newer one of the same key and place: connections
// made from now on show it.
func (id *Identity) Renew(chain [][]byte) error {
	cert, err := id.verify(chain)
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	if old := id.Certificate(); cert.Nonce != old.Nonce || cert.Vnodes != old.Vnodes {
		return fmt.Errorf("renew: %w: it is for another place on the ring", ErrCertificate)
	}
	id.current.Store(&credentials{cert, chain})
	return nil
}

// Machine returns this machine's ID.
func (id *Identity) Machine() MachineID { return id.Certificate().Machine }

// Key returns the machine's private key, with which an issuer issues.
func (id *Identity) Key() ed25519.PrivateKey { return id.key }

// Certificate returns what this machine's certificate says.
func (id *Identity) Certificate() *Certificate { return id.current.Load().cert }

// Chain returns the DER of leaf, issuers and root. The caller must not change it.
func (id *Identity) Chain() [][]byte { return id.current.Load().chain }

// Root returns the ring's trust anchor.
func (id *Identity) Root() *Root { return id.root }

// Positions returns this machine's places on the ring.
func (id *Identity) Positions() [][20]byte { return id.Certificate().Positions() }

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
	return writeFile(filepath.Join(dir, nodeCertFile), encodePEM(pemCertificate, id.Chain()...))
}

// LoadIdentity reads what [Identity.Save] stored. A machine that has not joined
// has none: the error is then fs.ErrNotExist.
func LoadIdentity(dir string) (*Identity, error) {
	chain, err := readPEM(filepath.Join(dir, nodeCertFile), pemCertificate, 3, 2+maxDepth)
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
