package transfer

import (
	"context"
	"errors"
	"io"
	"time"
)

// decoding is a chunk on its way to becoming raw bytes.
type decoding struct {
	chunk Chunk
	buf   *buffer // nil: raw is the chunk's payload
	raw   []byte
	err   error
}

func (p *decoding) decode(d *Decoder) {
	var mem []byte
	if p.chunk.Flags&FlagZstd != 0 && p.chunk.Raw <= MaxChunk {
		p.buf = newBuffer(p.chunk.Raw)
		mem = p.buf.mem
	}
	p.raw, p.err = d.View(p.chunk, mem)
}

func (p *decoding) release() {
	p.chunk.Release()
	p.buf.release()
}

// DecodeStream takes chunks from next, [Stream.ReadChunk] say, until io.EOF, and
// calls fn with each and its raw bytes, in order and verified, on the calling
// goroutine. Several cores decompress and hash; few chunks are in memory at once.
// Chunk and bytes are taken back after fn returns; what fn wants to keep of the
// chunk it must Retain. When next fails, the good chunks before are delivered
// first. When fn fails or ctx ends, DecodeStream returns even if next blocks; the
// goroutine that is in it ends when it returns, and gives back what it got.
func (d *Decoder) DecodeStream(ctx context.Context, next func() (Chunk, error), fn func(c Chunk, raw []byte) error) (Stats, error) {
	start := time.Now()
	var stats Stats
	produce := func(emit func(*decoding) error) error {
		for {
			c, err := next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := emit(&decoding{chunk: c}); err != nil {
				return err
			}
		}
	}
	consume := func(p *decoding) error {
		if p.err != nil {
			return p.err
		}
		if err := fn(p.chunk, p.raw); err != nil {
			return err
		}
		stats.add(p.chunk)
		return nil
	}
	err := pipeline(ctx, produce, func(p *decoding) { p.decode(d) }, consume, (*decoding).release)
	stats.Elapsed = time.Since(start)
	return stats, err
}
