package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// rttEvery is how often a connection in use is measured.
const rttEvery = 10 * time.Second

// control is the dialling side of a control connection: any number of calls under
// way, told apart by their IDs.
type control struct {
	*link
	e     *Endpoint
	p     *peer
	out   *outbox
	slots chan struct{}
	done  chan struct{} // closed when it has failed
	born  time.Time

	mu     sync.Mutex
	err    error
	calls  map[uint64]chan answer
	next   uint64
	asked  time.Time // of the ping that is not answered yet; zero: none
	pinged time.Time // of the last ping
	used   time.Time // of the last frame either way
}

type answer struct {
	frame []byte
	err   error
}

func newControl(l *link, e *Endpoint, p *peer) *control {
	now := time.Now()
	return &control{
		link: l, e: e, p: p, out: newOutbox(),
		slots: make(chan struct{}, e.cfg.MaxCalls),
		done:  make(chan struct{}), born: now, used: now,
		calls: make(map[uint64]chan answer),
	}
}

// notSent adds ErrNotSent to an error, which says enough without a word of it.
type notSent struct{ error }

func (e notSent) Unwrap() []error { return []error{e.error, ErrNotSent} }

// Call asks a peer and decodes its answer into resp, which may be nil. The error
// is a [*RemoteError] if the peer answered with one, [ErrUnreachable] if it was not
// reached, then also [ErrNotSent], or was lost, or the context's. A request is sent at most once.
func (e *Endpoint) Call(ctx context.Context, to Peer, kind uint16, req, resp any) error {
	payload, err := Marshal(req)
	if err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("%w: request of %d bytes", ErrTooLarge, len(payload))
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.cfg.CallTimeout)
		defer cancel()
	}
	for {
		c, err := e.controlTo(ctx, to)
		if err != nil {
			return notSent{err}
		}
		frame, sent, err := c.call(ctx, kind, payload)
		if err != nil && !sent && errors.Is(err, ErrUnreachable) && ctx.Err() == nil {
			continue // it had ended before the call began
		}
		if err == nil && resp != nil {
			err = Unmarshal(frame[replyHeader:], resp) // which copies what it takes
		}
		recycle(frame)
		return err
	}
}

// replies are frames of large answers that were decoded, as room for those to come: many
// small files are fetched by megabytes of them.
var replies sync.Pool // of *[]byte

const (
	largeReply = 16 << 10
	maxKept    = 512 << 10
)

// roomForReply returns memory for a frame of n bytes, if there is some.
func roomForReply(n int) []byte {
	if n < largeReply || n > maxKept {
		return nil
	}
	room, _ := replies.Get().(*[]byte)
	if room == nil {
		return nil
	}
	return *room
}

func recycle(frame []byte) {
	if c := cap(frame); c >= largeReply && c <= maxKept {
		replies.Put(&frame)
	}
}

// call makes one call and returns the frame that answers; sent tells whether the peer
// can have seen the call.
func (c *control) call(ctx context.Context, kind uint16, payload []byte) (frame []byte, sent bool, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.done:
		return nil, false, c.cause()
	case <-ctx.Done():
		return nil, false, fmt.Errorf("call: %w", ctx.Err())
	}
	id, ch, err := c.register()
	if err != nil {
		return nil, false, err
	}
	defer c.unregister(id)
	deadline, _ := ctx.Deadline()
	var h [callHeader]byte
	binary.BigEndian.PutUint64(h[:], id)
	binary.BigEndian.PutUint16(h[8:], kind)
	binary.BigEndian.PutUint32(h[10:], milliseconds(time.Until(deadline)))
	if err := c.out.add(frameCall, h[:], payload); err != nil {
		return nil, false, err
	}
	select {
	case a := <-ch:
		return a.frame, true, a.err
	case <-c.done:
		return nil, true, c.cause()
	case <-ctx.Done():
		_ = c.out.add(frameCancel, h[:8]) // a courtesy; the time-out travels with the call
		return nil, true, fmt.Errorf("call: %w", ctx.Err())
	}
}

// milliseconds rounds a time-out up, so that it is never none.
func milliseconds(d time.Duration) uint32 {
	return uint32(min(max((d+time.Millisecond-1)/time.Millisecond, 1), 1<<31))
}

func (c *control) register() (uint64, chan answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil, c.err
	}
	now := time.Now()
	if now.Sub(c.pinged) > rttEvery {
		c.ping(now)
	}
	c.used = now
	c.next++
	ch := make(chan answer, 1)
	c.calls[c.next] = ch
	return c.next, ch, nil
}

func (c *control) unregister(id uint64) {
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
}

// ping asks for a sign of life; c.mu is held. A full outbox is noticed elsewhere.
func (c *control) ping(now time.Time) {
	c.pinged, c.asked = now, now
	_ = c.out.add(framePing, binary.BigEndian.AppendUint64(nil, uint64(now.Sub(c.born))))
}

// fail ends the connection; the first reason stays.
func (c *control) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.mu.Unlock()
	c.e.lost(c.p, c) // before the callers wake, who may want another
	close(c.done)
	c.close()
}

func (c *control) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// write sends what callers have put into the outbox.
func (c *control) write() {
	if err := c.out.run(c.wire, c.done); err != nil {
		c.fail(fmt.Errorf("%w: write: %w", ErrUnreachable, err))
	}
}

// read hands answers to their callers and watches over the peer's silence.
func (c *control) read() {
	for {
		c.readWithin(c.e.cfg.Ping)
		t, n, err := readHeader(c.r)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.silence()
			if err == nil {
				continue
			}
		}
		if err == nil {
			err = c.receive(t, n)
		}
		if err != nil {
			c.fail(connectionError(err))
			return
		}
	}
}

// silence is called when nothing came for a while.
func (c *control) silence() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case !c.asked.IsZero() && now.Sub(c.asked) >= c.e.cfg.Ping:
		return fmt.Errorf("%w: silent for %v", ErrUnreachable, now.Sub(c.used).Round(time.Millisecond))
	case len(c.calls) > 0 && c.asked.IsZero():
		c.ping(now)
	case len(c.calls) == 0 && now.Sub(c.used) >= c.e.cfg.Idle:
		return fmt.Errorf("%w: idle", ErrUnreachable)
	}
	return nil
}

// receive reads one frame whose header was read.
func (c *control) receive(t frameType, n int) error {
	var room []byte
	if t == frameReply {
		room = roomForReply(n)
	}
	payload, err := c.payloadInto(n, room)
	if err != nil {
		return err
	}
	if t == frameError {
		return c.e.codes.decode(payload)
	}
	now := time.Now()
	c.mu.Lock()
	c.asked, c.used = time.Time{}, now
	var ch chan answer
	if t == frameReply || t == frameFail {
		id := binary.BigEndian.Uint64(payload)
		ch = c.calls[id] // nil: the caller has gone
		delete(c.calls, id)
	}
	c.mu.Unlock()
	switch t {
	case framePong:
		c.p.measured(now.Sub(c.born) - time.Duration(binary.BigEndian.Uint64(payload)))
	case frameReply:
		if ch != nil {
			ch <- answer{frame: payload}
		}
	case frameFail:
		if ch != nil {
			ch <- answer{err: c.e.codes.decode(payload[replyHeader:])}
		}
	default:
		return fmt.Errorf("%w: frame of type %d on a control connection", ErrProtocol, t)
	}
	return nil
}

// connectionError makes what ended a connection an error of this package.
func connectionError(err error) error {
	var remote *RemoteError
	if errors.As(err, &remote) || isAny(err, ErrUnreachable, ErrProtocol, ErrTooLarge, ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, noEOF(err))
}
