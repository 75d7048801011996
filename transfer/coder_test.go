package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// noise and text are n bytes that do not shrink and that do.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func text(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%08d line of a log with a number %d in it\n", i, i*i%977)
	}
	return b.Bytes()[:n]
}

func TestEveryModeIsExact(t *testing.T) {
	var dec Decoder
	for m := Auto; m <= Off; m++ {
		c := NewCompressor(m)
		for _, raw := range [][]byte{{1}, text(100), text(MaxChunk), noise(MaxChunk), noise(70_000), make([]byte, MaxChunk)} {
			chunk, err := c.Encode(raw)
			require.NoError(t, err)
			require.NoError(t, chunk.validate())
			got, err := dec.Decode(chunk, []byte("before"))
			require.NoError(t, err)
			require.True(t, bytes.Equal(append([]byte("before"), raw...), got))
			chunk.Release()
		}
		parsed, err := ParseMode(m.String())
		require.NoError(t, err)
		assert.Equal(t, m, parsed)
	}
	_, err := ParseMode("9")
	require.Error(t, err)
	_, err = NewCompressor(Auto).Encode(nil)
	require.Error(t, err)
}

func TestOnlyWhatShrinksIsCompressed(t *testing.T) {
	c := NewCompressor(Level1)
	chunk, err := c.Encode(text(MaxChunk))
	require.NoError(t, err)
	assert.Equal(t, FlagZstd, chunk.Flags)
	assert.Less(t, len(chunk.Payload), MaxChunk/3)
	chunk, err = c.Encode(noise(MaxChunk))
	require.NoError(t, err)
	assert.Zero(t, chunk.Flags)
	chunk, err = NewCompressor(Off).Encode(text(MaxChunk))
	require.NoError(t, err)
	assert.Zero(t, chunk.Flags)
}

func TestDamageIsFound(t *testing.T) {
	var dec Decoder
	for _, mode := range []Mode{Off, Level1} {
		chunk, err := NewCompressor(mode).Encode(text(5000))
		require.NoError(t, err)
		for range 200 {
			bad := chunk
			bad.Payload = bytes.Clone(chunk.Payload)
			bad.Payload[rand.IntN(len(bad.Payload))] ^= 1 << rand.IntN(8)
			raw, err := dec.Decode(bad, nil)
			if err == nil {
				require.Equal(t, text(5000), raw, "zstd has a few bits that mean nothing")
				continue
			}
			require.ErrorIs(t, err, ErrCorrupt)
		}
		bad := chunk
		bad.Sum[3] ^= 1
		_, err = dec.Decode(bad, nil)
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

// Who needs the bytes of a chunk is not content with its name.
func TestKnownChunksHaveNoBytes(t *testing.T) {
	var dec Decoder
	c := rawChunk(9).Known()
	_, err := dec.Decode(c, nil)
	require.ErrorIs(t, err, ErrProtocol)
	_, err = dec.View(c, nil)
	require.ErrorIs(t, err, ErrProtocol)
	_, err = dec.Unchecked(c, nil)
	require.ErrorIs(t, err, ErrProtocol)
}

func TestBombsAreRefused(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	require.NoError(t, enc.Close())
	c := Chunk{Raw: MaxChunk, Flags: FlagZstd, Payload: bomb}
	var dec Decoder
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = dec.Decode(c, nil)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrCorrupt)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "bytes that were allocated")
	c.Raw = len(bomb)
	mem := make([]byte, 0, 1<<20)
	_, err = dec.Decode(c, mem)
	require.ErrorIs(t, err, ErrCorrupt, "room in the destination is no permission")
}

func TestStreamsOfChunks(t *testing.T) {
	for _, size := range []int{0, 1, MaxChunk - 1, MaxChunk, MaxChunk + 1, 9*MaxChunk + 7} {
		for _, mode := range []Mode{Off, Auto, Level1} {
			raw := text(size)
			var chunks []Chunk
			stats, err := NewCompressor(mode).EncodeStream(t.Context(), iotest.HalfReader(bytes.NewReader(raw)), func(c Chunk) error {
				c.Retain()
				chunks = append(chunks, c)
				return nil
			})
			require.NoError(t, err)
			assert.EqualValues(t, size, stats.Size)
			assert.Equal(t, sha256.Sum256(raw), stats.Sum)
			require.Len(t, stats.Chunks, (size+MaxChunk-1)/MaxChunk)

			var got []byte
			i := 0
			next := func() (Chunk, error) {
				if i == len(chunks) {
					return Chunk{}, io.EOF
				}
				i++
				return chunks[i-1], nil
			}
			decoded, err := new(Decoder).DecodeStream(t.Context(), next, func(c Chunk, raw []byte) error {
				require.Equal(t, sha256.Sum256(raw), c.Sum)
				got = append(got, raw...)
				return nil
			})
			require.NoError(t, err)
			require.True(t, bytes.Equal(raw, got))
			assert.Equal(t, stats.Chunks, decoded.Chunks)
			assert.Equal(t, stats.Sent, decoded.Sent)
		}
	}
}

func TestEncodeStreamStops(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := NewCompressor(Off)
		_, err := c.EncodeStream(t.Context(), bytes.NewReader(noise(5*MaxChunk)), func(Chunk) error { return errTest })
		require.ErrorIs(t, err, errTest, "fn fails")

		broken := io.MultiReader(bytes.NewReader(noise(3*MaxChunk)), iotest.ErrReader(errTest))
		n := 0
		_, err = c.EncodeStream(t.Context(), broken, func(Chunk) error { n++; return nil })
		require.ErrorIs(t, err, errTest, "the reader fails")
		assert.Equal(t, 3, n, "after what was read before")

		ctx, cancel := context.WithCancelCause(t.Context())
		r, w := io.Pipe()
		go func() {
			_, _ = w.Write(noise(2 * MaxChunk))
			cancel(errTest)
		}()
		_, err = c.EncodeStream(ctx, r, func(Chunk) error { return nil })
		require.ErrorIs(t, err, errTest, "the context ends while the reader blocks")
		require.NoError(t, w.Close())
		synctest.Wait()
	})
}

func TestDecodeStreamStops(t *testing.T) {
	var dec Decoder
	bad := rawChunk(10)
	bad.Sum[0] ^= 1
	from := func(chunks ...Chunk) func() (Chunk, error) {
		return func() (Chunk, error) {
			if len(chunks) == 0 {
				return Chunk{}, io.EOF
			}
			c := chunks[0]
			chunks = chunks[1:]
			return c, nil
		}
	}
	n := 0
	_, err := dec.DecodeStream(t.Context(), from(rawChunk(10), bad, rawChunk(10)), func(Chunk, []byte) error { n++; return nil })
	require.ErrorIs(t, err, ErrCorrupt)
	assert.Equal(t, 1, n, "nothing after the damage, nor the damage itself")
	_, err = dec.DecodeStream(t.Context(), from(rawChunk(10), rawChunk(10)), func(Chunk, []byte) error { return errTest })
	require.ErrorIs(t, err, errTest)
}

func TestReleasingTooOftenIsFound(t *testing.T) {
	b := newBuffer(10)
	c := Chunk{Raw: 10, Payload: b.mem[:10], buf: b}
	c.Retain()
	c.Release()
	c.Release()
	assert.Panics(t, c.Release)
}
