package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// content is the bytes of a value: its number, then noise that follows from it,
// so that bytes of one version are never taken for those of another.
func content(seed uint64, value, largest int) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", seed, value))
	rng := rand.New(rand.NewChaCha8(sum))
	b := binary.BigEndian.AppendUint64(nil, uint64(value))
	noise := make([]byte, rng.IntN(largest+1))
	_, _ = rand.NewChaCha8(sum).Read(noise) // never fails
	return append(b, noise...)
}

// valueOf is the number of the value whose bytes these are, all of them.
func valueOf(seed uint64, b []byte, largest int) (int, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("%d bytes are no value", len(b))
	}
	v := binary.BigEndian.Uint64(b)
	if v > 1<<20 || !bytes.Equal(b, content(seed, int(v), largest)) {
		return 0, fmt.Errorf("%d bytes that begin like value %d are not that value", len(b), v)
	}
	return int(v), nil
}
