package chord

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Bits is the width of the circle: positions are counted modulo 2^Bits.
const Bits = 160

// ErrBadID reports text that is not 40 hexadecimal digits.
var ErrBadID = errors.New("chord: not an ID of 40 hexadecimal digits")

// ID is a position on the ring, or a key: a big-endian number modulo 2^160. The
// zero value is the point 0.
type ID [Bits / 8]byte

// KeyOf returns the key of a name: its SHA-1. It decides placement only.
func KeyOf(name string) ID { return sha1.Sum([]byte(name)) }

// ParseID reads the 40 hexadecimal digits that String writes; upper case is
// taken too. Any other text is ErrBadID.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("%w: %q", ErrBadID, s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("%w: %q", ErrBadID, s)
	}
	return id, nil
}

// String returns 40 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first four digits and the last two, for people: "9a02…77".
func (id ID) Short() string {
	return hex.EncodeToString(id[:2]) + "…" + hex.EncodeToString(id[len(id)-1:])
}

// MarshalText implements encoding.TextMarshaler with String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseID.
func (id *ID) UnmarshalText(text []byte) error {
	v, err := ParseID(string(text))
	if err == nil {
		*id = v
	}
	return err
}

// Compare orders IDs as numbers, not along the ring: -1, 0 or 1.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// Plus2Exp returns id + 2^i modulo 2^160, for 0 <= i < Bits.
func (id ID) Plus2Exp(i int) ID {
	var power ID
	power[len(power)-1-i/8] = 1 << (i % 8)
	carry := 0
	for j := len(id) - 1; j >= 0; j-- {
		sum := int(id[j]) + int(power[j]) + carry
		id[j], carry = byte(sum), sum>>8
	}
	return id
}

// Distance returns how far it is clockwise from id to other: other - id modulo
// 2^160. It is zero only from an ID to itself.
func (id ID) Distance(other ID) ID {
	borrow := 0
	for j := len(id) - 1; j >= 0; j-- {
		diff := int(other[j]) - int(id[j]) - borrow
		borrow = 0
		if diff < 0 {
			diff, borrow = diff+256, 1
		}
		id[j] = byte(diff)
	}
	return id
}

// Between reports whether x is met on the way clockwise from a to b, both
// excluded. From a point to itself the way is the whole ring: every x but a.
func Between(x, a, b ID) bool {
	if a.Compare(b) < 0 {
		return a.Compare(x) < 0 && x.Compare(b) < 0
	}
	return x != a && (a.Compare(x) < 0 || x.Compare(b) < 0)
}

// BetweenIncl is Between with b included; for a == b it is always true.
func BetweenIncl(x, a, b ID) bool { return x == b || Between(x, a, b) }

// fraction returns the part of the ring that a distance covers, from 0 to 1, as
// precisely as its first 64 bits tell.
func (id ID) fraction() float64 {
	return float64(binary.BigEndian.Uint64(id[:8])) / (1 << 64)
}
