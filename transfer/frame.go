package transfer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sizes on the wire.
const (
	// MaxChunk is the raw length of every chunk of a file but the last.
	MaxChunk = 1 << 20
	// MaxPayload bounds the encoded body of a call, a reply, a message in a stream.
	MaxPayload = 4 << 20

	headerSize      = 5
	callHeader      = 8 + 2 + 4 // ID, kind, time-out in ms
	replyHeader     = 8         // ID
	openHeader      = 2 + 4     // kind, time-out in ms
	chunkHeader     = 4 + 1 + 32
	pingSize        = 8
	maxStreamHeader = 256 << 10
)

// frameType is the first byte of a frame. The numbers are append only.
type frameType uint8

// See the package comment for what each carries.
const (
	frameHello frameType = 1
	frameError frameType = 2
	framePing  frameType = 3
	framePong  frameType = 4

	frameCall   frameType = 16
	frameReply  frameType = 17
	frameFail   frameType = 18
	frameCancel frameType = 19

	frameOpen      frameType = 32
	frameChunk     frameType = 33
	frameEndChunks frameType = 34
	frameMessage   frameType = 35
	frameDone      frameType = 36

	frameJoin      frameType = 48
	frameJoinReply frameType = 49
	frameJoinTo    frameType = 50
	frameJoinVia   frameType = 51
)

// bounds returns the least and the greatest payload of a frame type; ok is false
// for a type that this version does not know.
func (t frameType) bounds() (least, most int, ok bool) {
	switch t {
	case frameHello:
		return 1, 4 << 10, true
	case frameError:
		return 1, 4 << 10, true
	case framePing, framePong:
		return pingSize, pingSize, true
	case frameCall:
		return callHeader, callHeader + MaxPayload, true
	case frameReply:
		return replyHeader, replyHeader + MaxPayload, true
	case frameFail:
		return replyHeader + 1, replyHeader + 4<<10, true
	case frameCancel:
		return replyHeader, replyHeader, true
	case frameOpen:
		return openHeader, openHeader + maxStreamHeader, true
	case frameChunk:
		return chunkHeader, chunkHeader + MaxChunk, true
	case frameEndChunks, frameDone:
		return 0, 0, true
	case frameMessage:
		return 1, MaxPayload, true
	case frameJoin:
		return 1, 4 << 10, true
	case frameJoinTo, frameJoinVia:
		return 1, 256, true
	case frameJoinReply:
		return 1, 32 << 20, true
	}
	return 0, 0, false
}

// appendHeader appends a frame's type and length to b.
func appendHeader(b []byte, t frameType, length int) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(t)), uint32(length))
}

// appendFrame appends a whole frame made of parts to b.
func appendFrame(b []byte, t frameType, parts ...[]byte) []byte {
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	b = appendHeader(b, t, length)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// readHeader reads a frame's type and length and checks the length against the
// type's own limit. A time-out loses no byte: it may be called again.
func readHeader(r *bufio.Reader) (frameType, int, error) {
	h, err := r.Peek(headerSize)
	if err != nil {
		return 0, 0, err
	}
	t, length := frameType(h[0]), int64(binary.BigEndian.Uint32(h[1:]))
	_, _ = r.Discard(headerSize) // has just been peeked
	least, most, ok := t.bounds()
	switch {
	case !ok:
		return 0, 0, fmt.Errorf("%w: unknown frame type %d", ErrProtocol, t)
	case length > int64(most):
		return 0, 0, fmt.Errorf("%w: frame of type %d has %d bytes, at most %d are allowed", ErrTooLarge, t, length, most)
	case length < int64(least):
		return 0, 0, fmt.Errorf("%w: frame of type %d has %d bytes, at least %d are needed", ErrProtocol, t, length, least)
	}
	return t, int(length), nil
}

// firstPiece is how much memory is made for a payload before any of it has come.
const firstPiece = 64 << 10

// readPayload reads a payload that readHeader announced, into room if it fits. Else its
// memory grows as the payload comes: an announcement alone costs the other side nothing.
func readPayload(r *bufio.Reader, length int, room []byte) ([]byte, error) {
	b := room[:cap(room)]
	if len(b) < length {
		b = make([]byte, min(length, firstPiece))
	}
	b = b[:min(length, len(b))]
	have := 0
	for {
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			return nil, noEOF(err)
		}
		if have = len(b); have == length {
			return b, nil
		}
		whole := (length + firstPiece - 1) / firstPiece * firstPiece // so that others fit in later
		b = append(make([]byte, 0, min(whole, 4*have)), b...)
		b = b[:min(length, cap(b))]
	}
}

// noEOF turns the end of a connection inside a frame into an error that cannot be
// taken for the end of the data.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
