package transfer

import (
	"sync"
	"sync/atomic"
)

const smallBuffer = 64 << 10

// The pools only save allocations; nothing depends on what is in them.
var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{mem: make([]byte, smallBuffer)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{mem: make([]byte, MaxChunk)} }}
)

// buffer is pooled memory that goes back when its last user releases it.
type buffer struct {
	mem  []byte
	refs atomic.Int32
}

// newBuffer returns a buffer with room for n bytes, at most MaxChunk, and one user.
func newBuffer(n int) *buffer {
	pool := &largeBuffers
	if n <= smallBuffer {
		pool = &smallBuffers
	}
	b := pool.Get().(*buffer)
	b.refs.Store(1)
	return b
}

func (b *buffer) retain() {
	if b != nil {
		b.refs.Add(1)
	}
}

func (b *buffer) release() {
	if b == nil {
		return
	}
	switch refs := b.refs.Add(-1); {
	case refs < 0:
		panic("transfer: chunk released more often than retained")
	case refs > 0:
		return
	}
	if len(b.mem) == smallBuffer {
		smallBuffers.Put(b)
	} else {
		largeBuffers.Put(b)
	}
}
