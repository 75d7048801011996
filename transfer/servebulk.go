package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// serveBulk serves the streams of one connection, one after the other.
func (e *Endpoint) serveBulk(ctx context.Context, l *link) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The dialling side gives up an unused connection first.
	b := newBulk(l, e, e.cfg.Idle+e.cfg.Idle/2, cancel)
	defer b.fail(ErrClosed)
	wg.Go(b.pump)
	for it := range b.frames {
		switch it.t {
		case framePing:
			if err := b.write(func(w *wire) error { return w.writeFrame(framePong, it.payload) }); err != nil {
				return err
			}
		case frameOpen:
			if err := e.serveStream(ctx, b, it.payload); err != nil {
				return err
			}
		default:
			it.chunk.Release()
			return fmt.Errorf("%w: frame of type %d outside a stream", ErrProtocol, it.t)
		}
	}
	return b.cause()
}

// serveStream runs the handler for one stream. After an error the connection is of
// no more use.
func (e *Endpoint) serveStream(ctx context.Context, b *bulk, open []byte) error {
	kind := binary.BigEndian.Uint16(open)
	if ms := binary.BigEndian.Uint32(open[2:]); ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	s := newStream(b)
	defer s.signs.stop()
	err := e.cfg.Handler.Stream(ctx, b.remote, kind, open[openHeader:], s)
	if err == nil {
		b.end()
		return s.done()
	}
	if s.ended.Swap(true) {
		return err
	}
	// The peer may be writing: what it sends is thrown away until it has seen why
	// and closes, for a close here could destroy the message on its way.
	if b.write(func(w *wire) error { return w.writeFrame(frameError, e.codes.encode(err)) }) != nil {
		return err
	}
	limit := time.AfterFunc(e.cfg.Handshake, func() { b.fail(ErrClosed) })
	defer limit.Stop()
	for {
		it, more := s.next()
		if errors.Is(more, io.EOF) { // it had ended, and reads the error
			for range b.frames {
				continue
			}
		}
		if more != nil {
			return err
		}
		it.chunk.Release()
	}
}
