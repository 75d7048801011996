package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
)

// Stats describes a stream of chunks that has passed.
type Stats struct {
	Size    int64      // raw bytes
	Sent    int64      // payload bytes
	Sum     [32]byte   // SHA-256 of all raw bytes; of EncodeStream only
	Chunks  [][32]byte // SHA-256 of each chunk
	Zstd    int        // chunks that were compressed
	Elapsed time.Duration
}

func (s *Stats) add(c Chunk) {
	s.Size += int64(c.Raw)
	s.Sent += int64(len(c.Payload))
	s.Chunks = append(s.Chunks, c.Sum)
	if c.Flags&FlagZstd != 0 {
		s.Zstd++
	}
}

// piece is a part of a file on its way to becoming a chunk.
type piece struct {
	buf   *buffer
	n     int
	sum   *[32]byte // nil: not known yet
	chunk Chunk
	err   error
}

// readPiece reads up to MaxChunk bytes; n is less at the end of r.
func readPiece(r io.Reader) (*piece, error) {
	p := &piece{buf: newBuffer(MaxChunk)}
	var err error
	for p.n < MaxChunk && err == nil { // not io.ReadFull: a reader's own ErrUnexpectedEOF is no end
		var n int
		n, err = r.Read(p.buf.mem[p.n:])
		p.n += n
	}
	if err != nil && err != io.EOF {
		p.buf.release()
		return nil, fmt.Errorf("read: %w", err)
	}
	return p, nil
}

func (p *piece) encode(c *Compressor) {
	raw := p.buf.mem[:p.n]
	if p.sum != nil {
		p.chunk, p.err = c.pack(raw, *p.sum)
	} else {
		p.chunk, p.err = c.Encode(raw)
	}
	if p.err != nil {
		return
	}
	if p.chunk.buf == nil { // it stayed raw: the chunk takes the memory over
		p.chunk.buf = p.buf
		p.buf = nil
	}
}

func (p *piece) release() {
	p.buf.release()
	p.chunk.Release()
}

// EncodeStream reads r to its end, whose distance need not be known, and calls fn
// with every chunk in order, on the calling goroutine. Several cores hash and
// compress; few chunks are in memory at once. A chunk is released after fn returns:
// fn must Retain what it wants to keep. How fast it all goes tells an [Auto]
// compressor what the link is like, so fn should write and do little else. When fn fails or ctx
// ends, EncodeStream returns even if r.Read blocks; the goroutine that is in it
// ends when it returns.
func (c *Compressor) EncodeStream(ctx context.Context, r io.Reader, fn func(Chunk) error) (Stats, error) {
	start := time.Now()
	var stats Stats
	whole := sha256.New()
	deliver := c.deliver(&stats, fn)
	first, err := readPiece(r)
	if err != nil {
		return stats, err
	}
	whole.Write(first.buf.mem[:first.n])
	switch first.n {
	case 0:
		first.release()
	case MaxChunk:
		c.pace.restart()
		produce := func(emit func(*piece) error) error {
			p, err := first, ctx.Err()
			for err == nil && p.n == MaxChunk {
				if err = emit(p); err != nil {
					return err
				}
				if p, err = readPiece(r); err == nil {
					whole.Write(p.buf.mem[:p.n])
				}
			}
			switch {
			case err != nil:
				return err
			case p.n == 0:
				p.release()
				return nil
			}
			return emit(p)
		}
		err = pipeline(ctx, produce, func(p *piece) { p.encode(c) }, deliver, (*piece).release)
	default: // one chunk is not worth the goroutines
		first.encode(c)
		err = deliver(first)
		first.release()
	}
	if err != nil {
		return stats, err
	}
	whole.Sum(stats.Sum[:0])
	stats.Elapsed = time.Since(start)
	return stats, nil
}

// deliver returns what passes a piece on to fn and counts it.
func (c *Compressor) deliver(stats *Stats, fn func(Chunk) error) func(*piece) error {
	return func(p *piece) error {
		if p.err != nil {
			return p.err
		}
		begun := time.Now()
		if err := fn(p.chunk); err != nil {
			return err
		}
		c.pace.sent(p.chunk.Raw, len(p.chunk.Payload), time.Since(begun))
		stats.add(p.chunk)
		return nil
	}
}

// EncodeChunks is EncodeStream for chunks whose SHA-256 is known already, so that
// nothing is hashed: next fills a buffer with the raw bytes of the next one, 1 to
// MaxChunk of them, and returns their number and sum, or io.EOF after the last.
func (c *Compressor) EncodeChunks(ctx context.Context, next func(buf []byte) (int, [32]byte, error), fn func(Chunk) error) (Stats, error) {
	start := time.Now()
	c.pace.restart()
	var stats Stats
	produce := func(emit func(*piece) error) error {
		for {
			p := &piece{buf: newBuffer(MaxChunk)}
			n, sum, err := next(p.buf.mem)
			if err != nil {
				p.buf.release()
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			p.n, p.sum = n, &sum
			if err := emit(p); err != nil {
				return err
			}
		}
	}
	err := pipeline(ctx, produce, func(p *piece) { p.encode(c) }, c.deliver(&stats, fn), (*piece).release)
	stats.Elapsed = time.Since(start)
	return stats, err
}
