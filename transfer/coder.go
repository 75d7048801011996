package transfer

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	probeSize = 64 << 10 // of a chunk, tried before the whole
	maxWindow = 8 << 20  // of a zstd frame that is decoded
)

// Compressor makes chunks. It may be used concurrently, and it should be used for
// many files in a row to one place: it learns how fast the link is. Its memory
// grows with the number of goroutines in Encode, by 2 to 4 MiB each.
type Compressor struct {
	mode Mode
	pace pace

	mu   sync.Mutex
	free []*zstd.Encoder
}

// NewCompressor returns a compressor for a mode.
func NewCompressor(mode Mode) *Compressor { return &Compressor{mode: mode} }

// Encode hashes raw, 1 to MaxChunk bytes, and compresses it unless the mode says
// otherwise or it does not shrink. A raw chunk's payload is raw itself; a
// compressed chunk's is pooled, see [Chunk.Release].
func (c *Compressor) Encode(raw []byte) (Chunk, error) {
	if len(raw) < 1 || len(raw) > MaxChunk {
		return Chunk{}, fmt.Errorf("%w: chunk of %d bytes", ErrTooLarge, len(raw))
	}
	return c.pack(raw, sha256.Sum256(raw))
}

// EncodeHashed is Encode for raw bytes whose SHA-256 is known.
func (c *Compressor) EncodeHashed(raw []byte, sum [32]byte) (Chunk, error) {
	if len(raw) < 1 || len(raw) > MaxChunk {
		return Chunk{}, fmt.Errorf("%w: chunk of %d bytes", ErrTooLarge, len(raw))
	}
	return c.pack(raw, sum)
}

// pack is Encode for raw bytes, 1 to MaxChunk of them, whose SHA-256 is known.
func (c *Compressor) pack(raw []byte, sum [32]byte) (Chunk, error) {
	chunk := Chunk{Raw: len(raw), Sum: sum, Payload: raw}
	if c.mode == Off || c.mode == Auto && !c.pace.compress() {
		return chunk, nil
	}
	enc, err := c.encoder()
	if err != nil {
		return Chunk{}, err
	}
	defer c.giveBack(enc)
	buf := newBuffer(len(raw))
	if len(raw) > 2*probeSize && len(enc.EncodeAll(raw[:probeSize], buf.mem[:0])) > probeSize-probeSize/16 {
		buf.release()
		return chunk, nil
	}
	out := enc.EncodeAll(raw, buf.mem[:0])
	if len(out) >= len(raw)-len(raw)/32 || len(out) > len(buf.mem) {
		buf.release()
		return chunk, nil
	}
	chunk.Flags, chunk.Payload, chunk.buf = FlagZstd, out, buf
	return chunk, nil
}

func (c *Compressor) encoder() (*zstd.Encoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		enc := c.free[n-1]
		c.free = c.free[:n-1]
		return enc, nil
	}
	level := zstd.SpeedFastest
	if c.mode != Auto {
		level = zstd.EncoderLevel(c.mode)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(MaxChunk), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	return enc, nil
}

func (c *Compressor) giveBack(enc *zstd.Encoder) {
	c.mu.Lock()
	c.free = append(c.free, enc)
	c.mu.Unlock()
}

// Decoder reads chunks. The zero value is ready; it may be used concurrently, and
// its memory grows with the number of goroutines in Decode.
type Decoder struct {
	mu   sync.Mutex
	free []*zstd.Decoder
}

// Decode appends the chunk's raw bytes to dst and checks them against the chunk's
// checksum. It never makes more than the declared length of them. The error is
// [ErrCorrupt] for content that is damaged, [ErrProtocol] for a chunk that cannot be.
func (d *Decoder) Decode(c Chunk, dst []byte) ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	start := len(dst)
	if c.Flags == FlagKnown {
		return nil, errNoPayload
	}
	if c.Flags&FlagZstd == 0 {
		dst = append(dst, c.Payload...)
	} else {
		var err error
		if dst, err = d.expand(c, dst); err != nil {
			return nil, err
		}
	}
	return dst, c.verify(dst[start:])
}

// View returns the chunk's raw bytes, checked as Decode does: its payload if it is
// raw, which stays the chunk's, otherwise decoded into buf.
func (d *Decoder) View(c Chunk, buf []byte) ([]byte, error) {
	raw, err := d.Unchecked(c, buf)
	if err != nil {
		return nil, err
	}
	return raw, c.verify(raw)
}

// Unchecked is View without looking at the checksum, for a chunk that was made in
// this process, or whose content is checked by other means.
func (d *Decoder) Unchecked(c Chunk, buf []byte) ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Flags == FlagKnown {
		return nil, errNoPayload
	}
	if c.Flags&FlagZstd == 0 {
		return c.Payload, nil
	}
	raw, err := d.expand(c, buf[:0])
	if err == nil && len(raw) != c.Raw {
		err = fmt.Errorf("%w: chunk of %d bytes makes %d", ErrCorrupt, c.Raw, len(raw))
	}
	return raw, err
}

// verify compares raw bytes with the chunk's checksum.
func (c Chunk) verify(raw []byte) error {
	if len(raw) != c.Raw || sha256.Sum256(raw) != c.Sum {
		return fmt.Errorf("%w: chunk of %d bytes", ErrCorrupt, c.Raw)
	}
	return nil
}

// expand decompresses into dst, at most the declared length.
func (d *Decoder) expand(c Chunk, dst []byte) ([]byte, error) {
	dec, err := d.decoder()
	if err != nil {
		return nil, err
	}
	defer func() {
		d.mu.Lock()
		d.free = append(d.free, dec)
		d.mu.Unlock()
	}()
	end := len(dst) + c.Raw
	if cap(dst) < end {
		dst = append(make([]byte, 0, end), dst...)
	}
	out, err := dec.DecodeAll(c.Payload, dst[:len(dst):end])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return out, nil
}

func (d *Decoder) decoder() (*zstd.Decoder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.free); n > 0 {
		dec := d.free[n-1]
		d.free = d.free[:n-1]
		return dec, nil
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return dec, nil
}
