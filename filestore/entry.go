package filestore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// entry is what the table holds for one name: the register, and where its
// content is.
type entry struct {
	Promised Ballot  `cbor:"1,keyasint"`
	Accepted Ballot  `cbor:"2,keyasint"`
	Record   *Record `cbor:"3,keyasint,omitempty"`
	Held     bool    `cbor:"4,keyasint,omitempty"`
	// File is the temporary path at which the content was staged, unique for
	// ever. If a file is there, the rename to the visible path is still due.
	File string `cbor:"5,keyasint,omitempty"`
	// Sweep says that a file at the visible path is content that this entry
	// gave up, and to be removed.
	Sweep bool `cbor:"6,keyasint,omitempty"`
	// Since is when Accepted last changed, by this machine's clock, in Unix seconds.
	Since int64 `cbor:"7,keyasint,omitempty"`
}

// encodedEntry is an entry whose record stays encoded.
type encodedEntry struct {
	Promised Ballot          `cbor:"1,keyasint"`
	Accepted Ballot          `cbor:"2,keyasint"`
	Record   cbor.RawMessage `cbor:"3,keyasint,omitempty"`
	Held     bool            `cbor:"4,keyasint,omitempty"`
	File     string          `cbor:"5,keyasint,omitempty"`
}

func (e *entry) register() Register {
	return Register{Promised: e.Promised, Accepted: e.Accepted, Record: e.Record, Held: e.Held}
}

func (e *entry) since() time.Time {
	if e.Since == 0 {
		return time.Time{}
	}
	return time.Unix(e.Since, 0)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the CBOR of e and, as a table has no checksums of its own and
// a wrong ballot is worse than none, a CRC-32C over key and CBOR, big endian.
func (e *entry) encode(key []byte) ([]byte, error) {
	body, err := cbor.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode register: %w", err)
	}
	return binary.BigEndian.AppendUint32(body, checksum(key, body)), nil
}

func decodeEntry(key, value []byte) (*entry, error) {
	e := new(entry)
	return e, decodeInto(e, key, value)
}

// decodeInto decodes an entry into e, an *entry or an *encodedEntry.
func decodeInto(e any, key, value []byte) error {
	body, ok := checkedBody(key, value)
	if !ok {
		return fmt.Errorf("%w: checksum of %x", errDamagedTable, key)
	}
	if err := cbor.Unmarshal(body, e); err != nil {
		return fmt.Errorf("decode register %x: %w", key, err)
	}
	return nil
}

func checkedBody(key, value []byte) ([]byte, bool) {
	n := len(value) - 4
	if n < 0 {
		return nil, false
	}
	return value[:n], binary.BigEndian.Uint32(value[n:]) == checksum(key, value[:n])
}

func checksum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// The table's keys: 'r', key and name of a register; 'm' and a name of the
// small values kept for the node; 's' and a name of the store's own.
const (
	prefixRegister = 'r'
	prefixMeta     = 'm'
	prefixStore    = 's'
)

func registerKey(name string) []byte { return cursorKey(Cursor{Key: KeyOf(name), Name: name}) }

func cursorKey(c Cursor) []byte {
	k := make([]byte, 0, 1+len(c.Key)+len(c.Name))
	return append(append(append(k, prefixRegister), c.Key[:]...), c.Name...)
}

func splitRegisterKey(k []byte) (Cursor, bool) {
	var c Cursor
	if len(k) <= 1+len(c.Key) || k[0] != prefixRegister {
		return c, false
	}
	copy(c.Key[:], k[1:])
	c.Name = string(k[1+len(c.Key):])
	return c, true
}
