package transfer

import (
	"net"
	"sync"
)

// burstSize has room for the records of one piece.
const burstSize = pieceSize + 4<<10

var burstBuffers = sync.Pool{New: func() any { return new([burstSize]byte) }}

// burst is a connection that TLS writes to. TLS writes every record by itself, of 16
// KiB at most, and each such write goes through all of the system, and wakes the peer.
// Those of a large piece are gathered here and leave at once.
type burst struct {
	net.Conn

	mu  sync.Mutex // held in writes: what TLS has put in order stays so
	mem *[burstSize]byte
	n   int // bytes in mem
}

// together writes one piece by write, so that it leaves at once.
func (b *burst) together(write func() (int, error)) (int, error) {
	b.mu.Lock()
	b.mem = burstBuffers.Get().(*[burstSize]byte)
	b.mu.Unlock()
	n, err := write()
	b.mu.Lock()
	defer b.mu.Unlock()
	failure := b.flush()
	burstBuffers.Put(b.mem)
	b.mem = nil
	if err == nil {
		err = failure
	}
	return n, err
}

func (b *burst) flush() error {
	if b.n == 0 {
		return nil
	}
	_, err := b.Conn.Write(b.mem[:b.n])
	b.n = 0
	return err
}

// Write writes a record, which may be one that TLS answers to what it has read.
func (b *burst) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mem != nil && len(p) > len(b.mem)-b.n {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	if b.mem == nil || len(p) > len(b.mem) {
		return b.Conn.Write(p)
	}
	b.n += copy(b.mem[b.n:], p)
	return len(p), nil
}
