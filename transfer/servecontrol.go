package transfer

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// maxCallBytes bounds the requests of one machine that are being served.
const maxCallBytes = 16 << 20

// callee is the accepting side of a control connection.
type callee struct {
	*link
	e   *Endpoint
	out *outbox

	mu    sync.Mutex
	calls map[uint64]context.CancelFunc
}

// serveControl answers calls until the connection ends.
func (e *Endpoint) serveControl(ctx context.Context, l *link) error {
	c := &callee{link: l, e: e, out: newOutbox(), calls: make(map[uint64]context.CancelFunc)}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer l.close() // unblocks the writer
	wg.Go(func() {
		if err := c.out.run(l.wire, ctx.Done()); err != nil {
			l.close()
		}
	})
	l.readWithin(e.cfg.Idle + e.cfg.Idle/2) // the dialling side gives up first
	for {
		t, n, err := readHeader(l.r)
		if err != nil {
			return err
		}
		payload, err := l.payload(n)
		if err != nil {
			return err
		}
		switch t {
		case framePing:
			err = c.out.add(framePong, payload)
		case frameCancel:
			c.cancel(binary.BigEndian.Uint64(payload))
		case frameCall:
			err = c.begin(ctx, &wg, payload)
		default:
			err = fmt.Errorf("%w: frame of type %d on a control connection", ErrProtocol, t)
		}
		if err != nil {
			return err
		}
	}
}

// begin starts a call unless too many are under way, which the caller is told.
func (c *callee) begin(ctx context.Context, wg *sync.WaitGroup, frame []byte) error {
	id := binary.BigEndian.Uint64(frame)
	kind := binary.BigEndian.Uint16(frame[8:])
	limit := time.Duration(binary.BigEndian.Uint32(frame[10:])) * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, limit)
	c.mu.Lock()
	_, twice := c.calls[id]
	// A caller frees its place a little before the callee does: there is slack.
	busy := len(c.calls) >= 2*c.e.cfg.MaxCalls || !twice && !c.link.calls.take(len(frame))
	if !twice && !busy {
		c.calls[id] = cancel
	}
	c.mu.Unlock()
	if twice {
		cancel()
		return fmt.Errorf("%w: call %d twice", ErrProtocol, id)
	}
	if busy {
		cancel()
		return c.out.add(frameFail, frame[:replyHeader], c.e.codes.encode(ErrBusy))
	}
	wg.Go(func() {
		t, body := c.serve(ctx, kind, frame[callHeader:])
		c.mu.Lock()
		delete(c.calls, id)
		c.mu.Unlock()
		c.link.calls.give(len(frame))
		cancel()
		if err := c.out.add(t, frame[:replyHeader], body); err != nil {
			c.close() // the peer takes no answers
		}
	})
	return nil
}

// serve runs the handler and encodes what it returns.
func (c *callee) serve(ctx context.Context, kind uint16, payload []byte) (frameType, []byte) {
	var v any
	var err error
	if kind == kindJoined {
		v, err = c.serveJoined(ctx, payload)
	} else {
		v, err = c.e.cfg.Handler.Call(ctx, c.remote, kind, payload)
	}
	if err != nil {
		return frameFail, c.e.codes.encode(err)
	}
	body, err := Marshal(v)
	if err == nil && len(body) > MaxPayload {
		err = fmt.Errorf("%w: reply of %d bytes", ErrTooLarge, len(body))
	}
	if err != nil {
		return frameFail, c.e.codes.encode(err)
	}
	return frameReply, body
}

func (c *callee) cancel(id uint64) {
	c.mu.Lock()
	cancel := c.calls[id]
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}
