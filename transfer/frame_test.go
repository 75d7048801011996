package transfer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// The bytes of every frame. They may be added to, never changed: nodes of other
// versions read them.
func TestGoldenFrames(t *testing.T) {
	var ring, machine, secret [32]byte
	ring[0], machine[0], secret[0] = 0xaa, 0xbb, 0xcc
	zeros := func(n int) string { return hex.EncodeToString(make([]byte, n)) }
	id := binary.BigEndian.AppendUint64(nil, 258)
	cs, err := newCodes(nil)
	require.NoError(t, err)
	failure := cs.encode(fmt.Errorf("no: %w", ErrBusy))
	chunk := Chunk{Raw: 3, Payload: []byte("abc"), Sum: ring}
	packed := Chunk{Raw: 300, Flags: FlagZstd, Payload: []byte{1, 2}, Sum: ring}
	for name, c := range map[string]struct {
		frame []byte
		want  string
	}{
		"hello": {
			appendFrame(nil, frameHello, mustMarshal(hello{1, 2, 4, ring, machine, "v1", MaxChunk, roleBulk})),
			"0100000059" + "a8" + "0101" + "0202" + "0304" + "045820aa" + zeros(31) + "055820bb" + zeros(31) +
				"06627631" + "071a00100000" + "0802",
		},
		"error":      {appendFrame(nil, frameError, failure), "0200000015" + "a2" + "0107" + "0270" + hex.EncodeToString([]byte("no: peer is busy"))},
		"ping":       {appendFrame(nil, framePing, id), "0300000008" + "0000000000000102"},
		"pong":       {appendFrame(nil, framePong, id), "0400000008" + "0000000000000102"},
		"call":       {appendFrame(nil, frameCall, id, []byte{0, 7}, []byte{0, 0, 3, 0xe8}, mustMarshal("x")), "1000000010" + "0000000000000102" + "0007" + "000003e8" + "6178"},
		"reply":      {appendFrame(nil, frameReply, id, mustMarshal(1)), "1100000009" + "0000000000000102" + "01"},
		"fail":       {appendFrame(nil, frameFail, id, failure), "120000001d" + "0000000000000102" + "a2" + "0107" + "0270" + hex.EncodeToString([]byte("no: peer is busy"))},
		"cancel":     {appendFrame(nil, frameCancel, id), "1300000008" + "0000000000000102"},
		"open":       {appendFrame(nil, frameOpen, []byte{0, 7}, make([]byte, 4), mustMarshal("x")), "2000000008" + "0007" + "00000000" + "6178"},
		"chunk":      {append(appendChunkHeader(nil, chunk), chunk.Payload...), "2100000028" + "00000003" + "00" + "aa" + zeros(31) + "616263"},
		"known":      {appendChunkHeader(nil, chunk.Known()), "2100000025" + "00000003" + "02" + "aa" + zeros(31)},
		"zstd chunk": {append(appendChunkHeader(nil, packed), packed.Payload...), "2100000027" + "0000012c" + "01" + "aa" + zeros(31) + "0102"},
		"end chunks": {appendFrame(nil, frameEndChunks), "2200000000"},
		"message":    {appendFrame(nil, frameMessage, mustMarshal(true)), "2300000001" + "f5"},
		"done":       {appendFrame(nil, frameDone), "2400000000"},
		"join": {
			appendFrame(nil, frameJoin, trust.JoinRequest{Secret: secret, Label: "x", Vnodes: 2}.Encode()),
			"3000000029" + "a3" + "015820cc" + zeros(31) + "026178" + "0302",
		},
		"join to":  {appendFrame(nil, frameJoinTo, mustMarshal(joinTo{secret})), "3200000024" + "a1" + "015820cc" + zeros(31)},
		"join via": {appendFrame(nil, frameJoinVia, mustMarshal(joinVia{Relayed: true})), "3300000003" + "a101f5"},
		"join reply": {
			appendFrame(nil, frameJoinReply, mustMarshal(trust.JoinReply{Chain: [][]byte{{1}}, Members: []byte{2}})),
			"3100000008" + "a2" + "01" + "814101" + "02" + "4102",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if hex.EncodeToString(c.frame) != c.want {
				t.Errorf("frame is\n%x, want\n%s", c.frame, c.want)
			}
			typ, n, err := readHeader(bufio.NewReader(bytes.NewReader(c.frame)))
			require.NoError(t, err)
			assert.Equal(t, frameType(c.frame[0]), typ)
			assert.Equal(t, len(c.frame)-headerSize, n)
		})
	}
}

func TestLengthsAreCheckedBeforeReading(t *testing.T) {
	for typ := range 256 {
		least, most, ok := frameType(typ).bounds()
		read := func(n int) error {
			_, _, err := readHeader(bufio.NewReader(bytes.NewReader(appendHeader(nil, frameType(typ), n))))
			return err
		}
		if !ok {
			require.ErrorIs(t, read(1), ErrProtocol)
			continue
		}
		require.NoError(t, read(least))
		require.NoError(t, read(most))
		require.ErrorIs(t, read(most+1), ErrTooLarge)
		require.ErrorIs(t, read(math.MaxUint32), ErrTooLarge)
		if least > 0 {
			require.ErrorIs(t, read(least-1), ErrProtocol)
		}
	}
}

func TestReadChunkRefusesWhatCannotBe(t *testing.T) {
	for name, c := range map[string]Chunk{
		"nothing":        {Raw: 0, Payload: []byte{1}},
		"too long":       {Raw: MaxChunk + 1, Payload: []byte{1}},
		"huge":           {Raw: math.MaxUint32, Flags: FlagZstd, Payload: []byte{1}},
		"unknown flag":   {Raw: 1, Flags: 4, Payload: []byte{1}},
		"known but here": {Raw: 1, Flags: FlagKnown, Payload: []byte{1}},
		"known, packed":  {Raw: 2, Flags: FlagKnown | FlagZstd, Payload: []byte{1}},
		"known and huge": {Raw: MaxChunk + 1, Flags: FlagKnown},
		"raw but short":  {Raw: 2, Payload: []byte{1}},
		"grows":          {Raw: 2, Flags: FlagZstd, Payload: []byte{1, 2, 3}},
		"raw but longer": {Raw: 1, Payload: []byte{1, 2}},
	} {
		frame := append(appendChunkHeader(nil, c), c.Payload...)[headerSize:]
		_, err := readChunk(bufio.NewReader(bytes.NewReader(frame)), len(frame))
		require.Error(t, err, name)
	}
	frame := append(appendChunkHeader(nil, rawChunk(9)), make([]byte, 5)...)[headerSize:]
	_, err := readChunk(bufio.NewReader(bytes.NewReader(frame)), chunkHeader+9)
	require.Equal(t, io.ErrUnexpectedEOF, err)
}

// Whoever reads to io.EOF must not take a message without content for the end.
func TestNoContentIsNoEnd(t *testing.T) {
	err := Unmarshal(nil, new(int))
	require.ErrorIs(t, err, ErrProtocol)
	require.NotErrorIs(t, err, io.EOF)
	require.NotErrorIs(t, noEOF(io.EOF), io.EOF)
}
