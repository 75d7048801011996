package node

import (
	"crypto/ed25519"
	"crypto/sha256"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// verifiedMost is how many signatures one generation of verified has.
const verifiedMost = 4096

// verified remembers signatures that were right, since checking one costs as much
// as everything else that is done with a small file, and the same record is staged,
// accepted and read. It says nothing of who may sign. The zero value is ready; it may
// be used concurrently.
type verified struct{ right recent[struct{}] }

// check verifies a record's signature by the key of its publisher.
func (v *verified) check(key ed25519.PublicKey, rec *filestore.Record) error {
	statement := rec.Statement()
	id := signatureID(key, statement, rec.Signature)
	if _, ok := v.right.find(id); ok {
		return nil
	}
	if err := trust.Verify(key, recordDomain, statement, rec.Signature); err != nil {
		return err
	}
	v.right.add(id, struct{}{}, verifiedMost)
	return nil
}

// made notes a signature of this node's own.
func (v *verified) made(key ed25519.PublicKey, rec *filestore.Record) {
	v.right.add(signatureID(key, rec.Statement(), rec.Signature), struct{}{}, verifiedMost)
}

func signatureID(key ed25519.PublicKey, statement, signature []byte) [32]byte {
	h := sha256.New()
	h.Write(key) // of one length, as the hashes that follow are
	said := sha256.Sum256(statement)
	h.Write(said[:])
	h.Write(signature)
	return [32]byte(h.Sum(nil))
}
