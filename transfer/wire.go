package transfer

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

const (
	bufferSize = 16 << 10 // of a connection, each way
	leastSpeed = 16 << 10 // bytes of a frame that must come within its limit
	pieceSize  = 64 << 10 // written under one deadline
)

// wire is an authenticated connection whose every read and write has a deadline.
// One goroutine may read and another write.
type wire struct {
	raw net.Conn
	tls *tls.Conn
	out *burst // below tls; nil: TLS writes to raw
	r   *bufio.Reader
	w   *bufio.Writer

	readLimit  atomic.Int64 // time-out of the next reads, ns
	writeLimit time.Duration
	// frameLimit bounds the time for each leastSpeed bytes of a frame once its
	// header has come, so that nobody holds the memory for a frame by a byte now
	// and then. It and what follows belong to whoever reads.
	frameLimit time.Duration
	until      time.Time // zero outside frames
	came       int       // bytes since until was set
}

func newWire(raw net.Conn, conn *tls.Conn, limit time.Duration) *wire {
	w := &wire{raw: raw, tls: conn, writeLimit: limit, frameLimit: limit}
	w.out, _ = conn.NetConn().(*burst)
	w.readLimit.Store(int64(limit))
	w.r = bufio.NewReaderSize(wireReader{w}, bufferSize)
	w.w = bufio.NewWriterSize(wireWriter{w}, bufferSize)
	return w
}

// readWithin sets how long a read, the one under way included, may be without a
// byte.
func (w *wire) readWithin(d time.Duration) {
	w.readLimit.Store(int64(d))
	_ = w.raw.SetReadDeadline(time.Now().Add(d)) // a closed connection fails by itself
}

// close ends the connection at once. Frames tell the ends of things, so no TLS
// alert is sent, which could block.
func (w *wire) close() { _ = w.raw.Close() }

// writeFrame writes one frame and sends it.
func (w *wire) writeFrame(t frameType, parts ...[]byte) error {
	if _, err := w.w.Write(appendFrame(w.w.AvailableBuffer(), t, parts...)); err != nil {
		return err
	}
	return w.w.Flush()
}

// writeChunk writes one chunk frame and sends it.
func (w *wire) writeChunk(c Chunk) error {
	if _, err := w.w.Write(appendChunkHeader(w.w.AvailableBuffer(), c)); err != nil {
		return err
	}
	if _, err := w.w.Write(c.Payload); err != nil {
		return err
	}
	return w.w.Flush()
}

// payload reads a payload whose header was read.
func (w *wire) payload(length int) ([]byte, error) { return w.payloadInto(length, nil) }

// payloadInto is payload into room, if it fits.
func (w *wire) payloadInto(length int, room []byte) ([]byte, error) {
	w.hurry()
	defer w.calm()
	return readPayload(w.r, length, room)
}

// chunk reads the payload of a chunk frame whose header was read.
func (w *wire) chunk(length int) (Chunk, error) {
	w.hurry()
	defer w.calm()
	return readChunk(w.r, length)
}

// hurry begins the time that a frame has.
func (w *wire) hurry() {
	w.came, w.until = 0, time.Now().Add(w.frameLimit)
	_ = w.raw.SetReadDeadline(w.until) // a closed connection fails by itself
}

// calm ends it.
func (w *wire) calm() { w.until = time.Time{} }

// wireReader reads from TLS: within a frame under the frame's deadline, which moves
// on when enough has come, else under a fresh one each time.
type wireReader struct{ *wire }

func (r wireReader) Read(p []byte) (int, error) {
	switch {
	case r.until.IsZero():
		_ = r.raw.SetReadDeadline(time.Now().Add(time.Duration(r.readLimit.Load())))
	case r.came >= leastSpeed:
		r.hurry()
	}
	n, err := r.tls.Read(p)
	r.came += n
	return n, err
}

// wireWriter writes to TLS in pieces, each under a fresh deadline, so that a slow
// link is no dead one.
type wireWriter struct{ *wire }

func (w wireWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		_ = w.raw.SetWriteDeadline(time.Now().Add(w.writeLimit))
		k, err := w.piece(p[:min(len(p), pieceSize)])
		n += k
		if err != nil {
			return n, err
		}
		p = p[k:]
	}
	return n, nil
}

// piece writes what is to go under one deadline, and at once if it is large.
func (w wireWriter) piece(p []byte) (int, error) {
	if w.out == nil || len(p) <= bufferSize {
		return w.tls.Write(p)
	}
	return w.out.together(func() (int, error) { return w.tls.Write(p) })
}
