package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a machine's trust directory.
const (
	nodeKeyFile   = "node.key"
	nodeCertFile  = "node.crt" // leaf, issuers, root
	rootKeyFile   = "root.key"
	issuerKeyFile = "issuer.key"
	issuerCert    = "issuer.crt" // issuers, root
)

const (
	pemKey         = "PRIVATE KEY"
	pemCertificate = "CERTIFICATE"
)

// LoadOrCreateKey returns the machine's key under dir and makes it, durably, when
// there is none; so a join that is tried again is made with the same key. The
// directory is created with mode 0700.
func LoadOrCreateKey(dir string) (ed25519.PrivateKey, error) {
	key, err := loadKey(filepath.Join(dir, nodeKeyFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	_, key, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	return key, saveKey(filepath.Join(dir, nodeKeyFile), key)
}

func saveKey(path string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	return writeFile(path, encodePEM(pemKey, der))
}

func loadKey(path string) (ed25519.PrivateKey, error) {
	blocks, err := readPEM(path, pemKey, 1, 1)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(blocks[0])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read %s: %w: key is not ed25519", path, ErrCertificate)
	}
	return key, nil
}
