package transfer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/hostile"
)

// decoders are all that reads a peer's bytes here.
func decoders(tb testing.TB) []hostile.Decoder {
	return []hostile.Decoder{clientHellos(newRing(tb).helloBytes()), frames(tb), chunks(tb), joinedCalls(tb)}
}

// clientHellos reads what a stranger says first.
func clientHellos(hello []byte) hostile.Decoder {
	return hostile.Decoder{
		Name: "client hello", Memory: 64 << 10, PerByte: 1,
		Examples: [][]byte{hello, []byte("GET / HTTP/1.1\r\n\r\n"), {recordHandshake, 3, 1, 0, 4, clientHello, 0, 0, 0}},
		Read: func(t testing.TB, data []byte) {
			first, err := readClientHello(&said{r: bytes.NewReader(data)})
			if err == nil && !bytes.HasPrefix(data, first) {
				t.Errorf("read %x", first)
			}
		},
	}
}

// said is a connection on which something was said.
type said struct {
	net.Conn
	r *bytes.Reader
}

func (s *said) Read(p []byte) (int, error) { return s.r.Read(p) }

// frames reads frame after frame, and from each payload everything it could be.
func frames(tb testing.TB) hostile.Decoder {
	packed, err := NewCompressor(Level1).Encode(text(2000))
	require.NoError(tb, err)
	var dec Decoder
	cs := codes(builtin)
	return hostile.Decoder{
		Name: "frames", Memory: 12 << 20, // chunks come into pooled buffers, and a zstd decoder has its window
		Examples: [][]byte{
			append(appendChunkHeader(nil, rawChunk(3)), 0, 0, 0),
			append(appendChunkHeader(nil, packed), packed.Payload...),
			appendFrame(nil, frameHello, mustMarshal(hello{Min: minProtocol, Max: maxProtocol, Version: "v1", MaxChunk: MaxChunk, Role: roleBulk})),
			appendFrame(nil, frameError, mustMarshal(wireError{1, "x"})),
			appendFrame(nil, frameCall, make([]byte, callHeader)),
			appendFrame(appendFrame(nil, frameOpen, make([]byte, openHeader)), frameEndChunks),
		},
		Read: func(t testing.TB, data []byte) {
			r := bufio.NewReader(bytes.NewReader(data))
			for readFrame(t, r, &dec, cs) {
				continue
			}
		},
	}
}

// readFrame reads one frame; false is the end.
func readFrame(t testing.TB, r *bufio.Reader, dec *Decoder, cs codes) bool {
	typ, n, err := readHeader(r)
	if err != nil {
		return false
	}
	if typ == frameChunk {
		c, err := readChunk(r, n)
		if err != nil {
			return false
		}
		defer c.Release()
		if raw, err := dec.Decode(c, nil); err == nil && len(raw) != c.Raw {
			t.Errorf("%d bytes instead of %d", len(raw), c.Raw)
		}
		return true
	}
	payload, err := readPayload(r, n, nil)
	if err != nil {
		return false
	}
	_ = cs.decode(payload)
	var h hello
	if Unmarshal(payload, &h) == nil {
		_ = hello{Min: minProtocol, Max: maxProtocol}.check(h, h.Machine)
	}
	return true
}

// chunks decompresses: 4 bytes of declared length, a byte of flags, the payload.
func chunks(tb testing.TB) hostile.Decoder {
	example := func(raw int, flags Flags, payload []byte) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(raw)), byte(flags)), payload...)
	}
	packed, err := NewCompressor(Level1).Encode(text(2000))
	require.NoError(tb, err)
	zeros, err := NewCompressor(Level1).Encode(make([]byte, MaxChunk))
	require.NoError(tb, err)
	var dec Decoder
	return hostile.Decoder{
		Name: "chunks", Memory: 12 << 20, // a decoder's window, once, and a chunk
		Examples: [][]byte{
			example(packed.Raw, FlagZstd, packed.Payload),
			example(zeros.Raw, FlagZstd, zeros.Payload),
			example(1, FlagZstd, zeros.Payload), // a bomb: it says one byte and has a million
			example(3, 0, []byte("abc")),
		},
		Read: func(t testing.TB, data []byte) {
			if len(data) < 5 {
				return
			}
			c := Chunk{Raw: int(binary.BigEndian.Uint32(data)), Flags: Flags(data[4]), Payload: data[5:]}
			raw, err := dec.Decode(c, nil)
			if err == nil {
				t.Error("no bytes have a SHA-256 of zero")
			}
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrProtocol) {
				t.Error(err)
			}
			if cap(raw) > 2*MaxChunk {
				t.Errorf("%d bytes", cap(raw))
			}
		},
	}
}

func FuzzClientHello(f *testing.F) { decoders(f)[0].Fuzz(f) }
func FuzzFrames(f *testing.F)      { decoders(f)[1].Fuzz(f) }
func FuzzDecode(f *testing.F)      { decoders(f)[2].Fuzz(f) }
func FuzzJoined(f *testing.F)      { decoders(f)[3].Fuzz(f) }

// joinedCalls are requests with several calls in them.
func joinedCalls(tb testing.TB) hostile.Decoder {
	codes, err := newCodes(nil)
	require.NoError(tb, err)
	c := &callee{link: &link{calls: newBudget(maxCallBytes)}, e: &Endpoint{cfg: Config{Handler: echo}, codes: codes}}
	return hostile.Decoder{
		Name: "joined calls",
		Examples: [][]byte{
			mustMarshal(joinedRequest{Kind: 1, Requests: []cbor.RawMessage{{0x41, 7}, {0x40}, {0xf6}}}),
			mustMarshal(joinedRequest{Kind: kindJoined, Requests: []cbor.RawMessage{{0xf6}}}),
			mustMarshal(joinedRequest{}),
		},
		Memory: 4 << 20,
		Read: func(t testing.TB, data []byte) {
			reply, err := c.serveJoined(t.Context(), data)
			if err == nil {
				mustMarshal(reply)
			}
			require.True(t, c.link.calls.take(maxCallBytes), "everything is given back")
			c.link.calls.give(maxCallBytes)
		},
	}
}

func TestMutatedInputs(t *testing.T) { hostile.Mutate(t, decoders(t)...) }
