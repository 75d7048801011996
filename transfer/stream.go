package transfer

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// maxDiscard bounds the frames that are thrown away after a stream's clean end.
const maxDiscard = 64

// Stream is a sequence of frames each way, on a connection of its own while it
// lasts: chunks with an end, and messages. One goroutine may read while another
// writes. What the peer failed with comes out of every method as [*RemoteError].
//
// In a handler the stream ends with the handler; Close and Abort are for the side
// that opened it.
type Stream struct {
	b     *bulk
	signs *heartbeat
	wrote atomic.Bool // since the last sign of life
	ended atomic.Bool // Done was sent, nothing more may be written
	read  atomic.Bool // the peer's Done was read
	stop  func() bool // ends the watch over the context
	free  func(clean bool)
}

// newStream begins a stream on a connection; both sides have begun it.
func newStream(b *bulk) *Stream {
	s := &Stream{b: b}
	s.signs = startHeartbeat(b.active/3, s.signOfLife)
	return s
}

// Remote returns the other side.
func (s *Stream) Remote() Remote { return s.b.remote }

// signOfLife tells the peer that this side still works when it wrote nothing for a
// while.
func (s *Stream) signOfLife() {
	if s.wrote.Swap(false) {
		return
	}
	select {
	case <-s.b.turn:
		if s.b.streaming.Load() {
			_ = s.b.writeFrame(framePing, make([]byte, pingSize)) // the next write fails too
		}
		s.b.turn <- struct{}{}
	default: // being written to right now
	}
}

// write writes one frame.
func (s *Stream) write(f func(*wire) error) error {
	if s.ended.Load() {
		return ErrClosed
	}
	if s.free != nil && s.b.peerDone.Load() { // the handler has returned
		return fmt.Errorf("%w: %w", ErrClosed, errEnded)
	}
	s.wrote.Store(true)
	return s.b.write(f)
}

// WriteChunk sends one chunk. The payload is the caller's again when it returns.
func (s *Stream) WriteChunk(c Chunk) error {
	if err := c.validate(); err != nil {
		return err
	}
	return s.write(func(w *wire) error { return w.writeChunk(c) })
}

// EndChunks tells the peer that no chunk follows.
func (s *Stream) EndChunks() error {
	return s.write(func(w *wire) error { return w.writeFrame(frameEndChunks) })
}

// Send sends a message, such as a trailer or an acknowledgement.
func (s *Stream) Send(v any) error {
	body, err := Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > MaxPayload {
		return fmt.Errorf("%w: message of %d bytes", ErrTooLarge, len(body))
	}
	return s.write(func(w *wire) error { return w.writeFrame(frameMessage, body) })
}

// ReadChunk returns the next chunk, io.EOF after the last. Its form is checked, its
// content is not: see [Decoder.Decode]. The caller must Release it.
func (s *Stream) ReadChunk() (Chunk, error) {
	it, err := s.next()
	switch {
	case errors.Is(err, io.EOF):
		return Chunk{}, io.ErrUnexpectedEOF // without an end of the chunks
	case err != nil:
		return Chunk{}, err
	case it.t == frameChunk:
		return it.chunk, nil
	case it.t == frameEndChunks:
		return Chunk{}, io.EOF
	}
	return Chunk{}, s.unexpected(it)
}

// Receive decodes the next message into v. The error is io.EOF when the peer has
// ended the stream.
func (s *Stream) Receive(v any) error {
	it, err := s.next()
	if err != nil {
		return err
	}
	if it.t != frameMessage {
		it.chunk.Release()
		return s.unexpected(it)
	}
	return Unmarshal(it.payload, v)
}

func (s *Stream) unexpected(it item) error {
	return fmt.Errorf("%w: frame of type %d was not expected here", ErrProtocol, it.t)
}

// next returns the next frame that means something, io.EOF at the peer's Done.
func (s *Stream) next() (item, error) {
	if s.read.Load() {
		return item{}, io.EOF
	}
	for it := range s.b.frames {
		switch it.t {
		case framePing, framePong:
		case frameDone:
			s.read.Store(true)
			return item{}, io.EOF
		case frameOpen:
			return item{}, fmt.Errorf("%w: a stream within a stream", ErrProtocol)
		default:
			return it, nil
		}
	}
	return item{}, s.b.cause()
}

// done ends this side and waits until the peer has ended its own.
func (s *Stream) done() error {
	if err := s.sendDone(); err != nil {
		return err
	}
	for range maxDiscard {
		it, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		it.chunk.Release()
	}
	return fmt.Errorf("%w: more came than was read", ErrProtocol)
}

func (s *Stream) sendDone() error {
	if s.ended.Swap(true) {
		return nil
	}
	return s.b.write(func(w *wire) error { return w.writeFrame(frameDone) })
}

// Close ends the stream and waits until the peer's handler has returned: nil means
// that it returned nil. The connection is then kept for the next stream. Close
// again returns [ErrClosed].
func (s *Stream) Close() error {
	if s.free == nil {
		return nil // a handler's: it ends by returning
	}
	if s.ended.Load() {
		return ErrClosed
	}
	err := s.done()
	s.finish(err)
	return err
}

// Abort ends the stream at once and tells the peer why, if it still listens. After
// Close it does nothing, so it may be deferred.
func (s *Stream) Abort(err error) {
	if s.free == nil || s.ended.Swap(true) {
		return
	}
	select {
	case <-s.b.turn:
		_ = s.b.raw.SetWriteDeadline(time.Now().Add(time.Second))
		_ = s.b.writeFrame(frameError, s.b.codes.encode(err)) // a courtesy
		s.b.turn <- struct{}{}
	default: // a write is stuck: closing the connection is all that can be said
	}
	s.finish(ErrClosed)
}

// finish gives the connection back, or ends it after an error.
func (s *Stream) finish(err error) {
	s.signs.stop()
	if err != nil {
		s.b.fail(err)
	}
	s.stop()
	s.free(err == nil)
}
