package node

import (
	"crypto/ed25519"
	"crypto/sha256"
	"sync"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// verifiedMost is how many signatures one generation of verified has: each is met
// again within seconds, as the same record is staged, accepted and read, or never.
const verifiedMost = 4096

// verified remembers signatures that were right, since checking one costs as much
// as everything else that is done with a small file. It says nothing of who may
// sign. The zero value is ready; it may be used concurrently.
type verified struct {
	mu          sync.Mutex
	young, aged map[[32]byte]struct{}
}

// check verifies a record's signature by the key of its publisher.
func (v *verified) check(key ed25519.PublicKey, rec *filestore.Record) error {
	statement := rec.Statement()
	h := sha256.New()
	h.Write(key) // of one length, as the hashes that follow are
	said := sha256.Sum256(statement)
	h.Write(said[:])
	h.Write(rec.Signature)
	id := [32]byte(h.Sum(nil))
	if v.has(id) {
		return nil
	}
	if err := trust.Verify(key, recordDomain, statement, rec.Signature); err != nil {
		return err
	}
	v.add(id)
	return nil
}

func (v *verified) has(id [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.young[id]; ok {
		return true
	}
	_, ok := v.aged[id]
	return ok
}

func (v *verified) add(id [32]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.young == nil || len(v.young) >= verifiedMost {
		v.young, v.aged = make(map[[32]byte]struct{}), v.young
	}
	v.young[id] = struct{}{}
}
