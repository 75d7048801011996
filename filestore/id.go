package filestore

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
)

// MachineID names a machine: the SHA-256 of its raw ed25519 public key.
type MachineID = [32]byte

// OpID names one change: 128 random bits chosen by the client, the same in
// every retry. The zero value names none.
type OpID [16]byte

// String returns 32 lower-case hex digits.
func (id OpID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns what String does.
func (id OpID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads exactly 32 hex digits.
func (id *OpID) UnmarshalText(text []byte) error { return decodeHex(id[:], text) }

// Hash is a SHA-256.
type Hash [32]byte

// String returns 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText returns what String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads exactly 64 hex digits.
func (h *Hash) UnmarshalText(text []byte) error { return decodeHex(h[:], text) }

// decodeHex fills dst, and changes nothing unless text is all of it.
func decodeHex(dst, text []byte) error {
	if len(text) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("want %d hex digits, have %d characters", hex.EncodedLen(len(dst)), len(text))
	}
	raw := make([]byte, len(dst))
	if _, err := hex.Decode(raw, text); err != nil {
		return err
	}
	copy(dst, raw)
	return nil
}

// Ballot orders the attempts to change a register: by Counter, then by
// Machine, those that are Fast below all others. The zero value is below every
// ballot that was ever used. A machine uses a Counter once.
type Ballot struct {
	Counter uint64    `cbor:"1,keyasint,omitempty"`
	Machine MachineID `cbor:"2,keyasint"`
	Fast    bool      `cbor:"3,keyasint,omitempty"` // see package register
}

// Compare returns -1, 0 or +1 as b is less than, equal to or greater than c.
func (b Ballot) Compare(c Ballot) int {
	return cmp.Or(cmp.Compare(b.rank(), c.rank()), cmp.Compare(b.Counter, c.Counter), bytes.Compare(b.Machine[:], c.Machine[:]))
}

func (b Ballot) rank() int {
	switch {
	case b.IsZero():
		return 0
	case b.Fast:
		return 1
	}
	return 2
}

// IsZero reports whether b is the zero ballot.
func (b Ballot) IsZero() bool { return b == Ballot{} }

// String returns the counter and the first 8 hex digits of the machine, and an f
// where the ballot is fast.
func (b Ballot) String() string {
	s := fmt.Sprintf("%d.%x", b.Counter, b.Machine[:4])
	if b.Fast {
		s += "f"
	}
	return s
}
