package transfer

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Flags say how a chunk's payload is to be read. Unknown flags are refused.
type Flags uint8

const (
	// FlagZstd: the payload is one zstd frame; otherwise it is the raw bytes.
	FlagZstd Flags = 1
	// FlagKnown: there is no payload, as the receiver has said that it has the bytes.
	FlagKnown Flags = 2
)

// Chunk is a piece of a file on its way: as it is on the wire, so that it can be
// passed on without being compressed again.
type Chunk struct {
	Raw     int      // length of the raw bytes, 1 to MaxChunk
	Flags   Flags    // how Payload is to be read
	Sum     [32]byte // SHA-256 of the raw bytes
	Payload []byte   // belongs to the chunk until its last Release; not to be changed

	buf *buffer // nil: Payload is not pooled
}

// Retain adds a user of the payload, who must call Release too.
func (c Chunk) Retain() { c.buf.retain() }

// Release gives the payload's memory back when the last user is done with it. A
// chunk that is never released is only a loss of memory to the garbage collector.
func (c Chunk) Release() { c.buf.release() }

// validate checks what can be checked without touching the payload.
func (c Chunk) validate() error {
	switch {
	case c.Raw < 1 || c.Raw > MaxChunk:
		return fmt.Errorf("%w: chunk of %d bytes", ErrProtocol, c.Raw)
	case c.Flags == FlagKnown && len(c.Payload) == 0:
		return nil
	case c.Flags&^FlagZstd != 0:
		return fmt.Errorf("%w: chunk with unknown flags %#x", ErrProtocol, c.Flags)
	case c.Flags&FlagZstd == 0 && len(c.Payload) != c.Raw:
		return fmt.Errorf("%w: raw chunk of %d bytes declares %d", ErrProtocol, len(c.Payload), c.Raw)
	case len(c.Payload) < 1 || len(c.Payload) > c.Raw:
		return fmt.Errorf("%w: chunk of %d bytes takes %d", ErrProtocol, c.Raw, len(c.Payload))
	}
	return nil
}

// Known is the chunk without its payload, for a receiver that has the bytes. It need
// not be released.
func (c Chunk) Known() Chunk { return Chunk{Raw: c.Raw, Flags: FlagKnown, Sum: c.Sum} }

// errNoPayload is for those who need the bytes.
var errNoPayload = fmt.Errorf("%w: a chunk without its bytes", ErrProtocol)

// appendChunkHeader appends the frame header and the chunk header of c.
func appendChunkHeader(b []byte, c Chunk) []byte {
	b = appendHeader(b, frameChunk, chunkHeader+len(c.Payload))
	b = binary.BigEndian.AppendUint32(b, uint32(c.Raw))
	b = append(b, byte(c.Flags))
	return append(b, c.Sum[:]...)
}

// readChunk reads the payload of a chunk frame of the given length.
func readChunk(r *bufio.Reader, length int) (Chunk, error) {
	var h [chunkHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Chunk{}, noEOF(err)
	}
	raw := binary.BigEndian.Uint32(h[:4])
	if raw > MaxChunk {
		return Chunk{}, fmt.Errorf("%w: chunk of %d bytes", ErrTooLarge, raw)
	}
	c := Chunk{Raw: int(raw), Flags: Flags(h[4])}
	copy(c.Sum[:], h[5:])
	length -= chunkHeader
	c.buf = newBuffer(length)
	c.Payload = c.buf.mem[:length]
	if err := c.validate(); err != nil {
		c.Release()
		return Chunk{}, err
	}
	if _, err := io.ReadFull(r, c.Payload); err != nil {
		c.Release()
		return Chunk{}, noEOF(err)
	}
	return c, nil
}
