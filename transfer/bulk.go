package transfer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// item is a frame as the pump hands it over.
type item struct {
	t       frameType
	payload []byte
	chunk   Chunk
}

// bulk is a connection for streams, one after the other. A goroutine of its own
// reads it all the time, so that a failure of the peer is known at once, also to a
// side that only writes and to one that keeps the connection for later.
type bulk struct {
	*link
	codes  codes
	idle   time.Duration // silence allowed between streams
	active time.Duration // and within one

	frames chan item     // what the peer sent; closed after the last
	turn   chan struct{} // holds a token while nobody writes
	failed chan struct{}
	onFail func() // called once, outside locks

	streaming atomic.Bool // a stream is under way: signs of life are dropped
	peerDone  atomic.Bool // the peer has ended its side of the stream

	mu  sync.Mutex
	err error
}

func newBulk(l *link, e *Endpoint, idle time.Duration, onFail func()) *bulk {
	l.writeLimit = 2 * e.cfg.Silence // the peer may pause, and says so
	b := &bulk{
		link: l, codes: e.codes, idle: idle, active: e.cfg.Silence,
		frames: make(chan item, 1), turn: make(chan struct{}, 1), failed: make(chan struct{}),
		onFail: onFail,
	}
	b.turn <- struct{}{}
	b.readWithin(idle)
	return b
}

// fail ends the connection; the first reason stays.
func (b *bulk) fail(err error) {
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return
	}
	b.err = err
	b.mu.Unlock()
	close(b.failed)
	b.close()
	b.onFail()
}

func (b *bulk) cause() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// pump reads until the connection ends. It waits with a frame until the one before
// was taken, so that a slow reader slows its peer and takes no memory.
func (b *bulk) pump() {
	defer close(b.frames)
	for {
		it, err := b.read()
		if err != nil {
			b.fail(connectionError(err))
			return
		}
		if (it.t == framePing || it.t == framePong) && b.streaming.Load() {
			continue
		}
		select {
		case b.frames <- it:
		case <-b.failed:
			it.chunk.Release()
			return
		}
	}
}

// read reads one frame and follows the beginnings and ends of streams.
func (b *bulk) read() (item, error) {
	t, n, err := readHeader(b.r)
	if err != nil {
		return item{}, err
	}
	it := item{t: t}
	if t == frameChunk {
		it.chunk, err = b.chunk(n)
		return it, err
	}
	if it.payload, err = b.payload(n); err != nil {
		return item{}, err
	}
	switch t {
	case frameError:
		return item{}, b.codes.decode(it.payload)
	case frameOpen:
		b.begin()
	case frameDone:
		b.peerDone.Store(true)
		if !b.streaming.Load() {
			b.readWithin(b.idle)
		}
	case framePing, framePong, frameEndChunks, frameMessage:
	default:
		return item{}, fmt.Errorf("%w: frame of type %d on a bulk connection", ErrProtocol, t)
	}
	return it, nil
}

// begin marks that a stream is under way.
func (b *bulk) begin() {
	b.peerDone.Store(false)
	b.streaming.Store(true)
	b.readWithin(b.active)
}

// end marks that this side has no part in a stream any more.
func (b *bulk) end() {
	b.streaming.Store(false)
	if b.peerDone.Load() {
		b.readWithin(b.idle)
	}
}

// write lets f write when nobody else does.
func (b *bulk) write(f func(*wire) error) error {
	select {
	case <-b.turn:
	case <-b.failed:
		return b.cause()
	}
	defer func() { b.turn <- struct{}{} }()
	err := f(b.wire)
	if err == nil {
		return nil
	}
	// A peer that fails says so and closes; what it said may still be on its way
	// while the write has failed already.
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-b.failed:
	case <-timer.C:
	}
	b.fail(fmt.Errorf("%w: write: %w", ErrUnreachable, err))
	return b.cause()
}

// alive asks for a sign of life on a connection without a stream.
func (b *bulk) alive(limit time.Duration) bool {
	payload := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
	timer := time.AfterFunc(limit, func() { b.fail(fmt.Errorf("%w: silent for %v", ErrUnreachable, limit)) })
	defer timer.Stop()
	if b.write(func(w *wire) error { return w.writeFrame(framePing, payload) }) != nil {
		return false
	}
	for it := range b.frames {
		if it.t == framePong && string(it.payload) == string(payload) {
			return true
		}
	}
	return false
}

// errEnded: the peer has ended the stream, so nothing more is to be written.
var errEnded = errors.New("the peer has ended the stream")
