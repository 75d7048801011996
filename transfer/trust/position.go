package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Candidates is how many nonces an issuer tries for a new member. With one random
// position each, the fullest of ten nodes owns three times its share; with the
// best of 16 it owns one and a half times.
const Candidates = 16

const positionTag = "dhtfs position 1"

// Positions returns the ring positions of a key: SHA-1(tag ‖ key ‖ nonce ‖ i), i
// being 4 bytes big endian, for each i below vnodes.
func Positions(key ed25519.PublicKey, nonce [16]byte, vnodes int) [][20]byte {
	msg := slices.Concat([]byte(positionTag), key, nonce[:], make([]byte, 4))
	out := make([][20]byte, vnodes)
	for i := range out {
		binary.BigEndian.PutUint32(msg[len(msg)-4:], uint32(i))
		out[i] = sha1.Sum(msg)
	}
	return out
}

// PickNonce reads [Candidates] nonces from random and returns the one whose
// positions leave the most even gaps beside those taken: the smallest sum of
// squares, which for one position is the one that splits the widest gap best.
func PickNonce(random io.Reader, key ed25519.PublicKey, vnodes int, taken [][20]byte) ([16]byte, error) {
	var best [16]byte
	lowest := -1.0
	for range Candidates {
		var nonce [16]byte
		if _, err := io.ReadFull(random, nonce[:]); err != nil {
			return best, fmt.Errorf("draw a nonce: %w", err)
		}
		if s := unevenness(append(Positions(key, nonce, vnodes), taken...)); lowest < 0 || s < lowest {
			best, lowest = nonce, s
		}
	}
	return best, nil
}

// unevenness sums the squares of the gaps between positions, the ring being 1.
func unevenness(positions [][20]byte) float64 {
	slices.SortFunc(positions, func(a, b [20]byte) int { return bytes.Compare(a[:], b[:]) })
	sum, last := 0.0, fraction(positions[len(positions)-1])-1
	for _, p := range positions {
		f := fraction(p)
		sum += (f - last) * (f - last)
		last = f
	}
	return sum
}

// fraction maps a position to [0, 1); 53 bits are plenty to compare gaps.
func fraction(p [20]byte) float64 {
	return float64(binary.BigEndian.Uint64(p[:8])>>11) / (1 << 53)
}
