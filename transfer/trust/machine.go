package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
)

// MachineID names a machine: the SHA-256 of its raw ed25519 public key.
type MachineID = [32]byte

// MachineOf returns the ID of the machine whose public key is pub.
func MachineOf(pub ed25519.PublicKey) MachineID { return sha256.Sum256(pub) }

// Sign returns key's Ed25519ctx signature (RFC 8032) of msg in the given domain.
// A signature made in one domain is worthless in every other. A domain has 1 to
// 255 bytes; Sign panics otherwise, since domains are constants of the program.
func Sign(key ed25519.PrivateKey, domain string, msg []byte) []byte {
	sig, err := key.Sign(nil, msg, &ed25519.Options{Context: domain})
	if err != nil || domain == "" {
		panic(fmt.Sprintf("trust: sign in domain %q: %v", domain, err))
	}
	return sig
}

// Verify checks a signature made by [Sign]; a false one gives [ErrSignature].
func Verify(pub ed25519.PublicKey, domain string, msg, sig []byte) error {
	if len(pub) != ed25519.PublicKeySize || domain == "" {
		return fmt.Errorf("%w: unusable key or domain", ErrSignature)
	}
	if err := ed25519.VerifyWithOptions(pub, msg, sig, &ed25519.Options{Context: domain}); err != nil {
		return fmt.Errorf("%w: %s", ErrSignature, domain)
	}
	return nil
}
