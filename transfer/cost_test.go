package transfer

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a stranger costs, on real sockets: a few KiB before it has said anything,
// and some tens of KiB in the middle of a handshake, of which there are few.
func TestStrangersCostLittle(t *testing.T) {
	r := newRing(t)
	e, err := New(Config{
		Identity: r.identity("b"), Handler: echo, Logger: slog.New(slog.DiscardHandler),
		Handshake: time.Hour, MaxStrangers: 1000, MaxHandshakes: 1000,
	})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx, ln) }()
	hello := r.helloBytes()

	const n = 200
	cost := func(what string, first []byte, where *crowd) int {
		before := inUse()
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i], err = net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			if first != nil {
				_, err := conns[i].Write(first)
				require.NoError(t, err)
				_, err = conns[i].Read(make([]byte, 8<<10)) // the server's part of the handshake
				require.NoError(t, err)
			}
		}
		for where.count() < n {
			runtime.Gosched()
		}
		each := (inUse() - before) / n
		t.Logf("%s: %d bytes each", what, each)
		for _, c := range conns {
			require.NoError(t, c.Close())
		}
		for where.count() > 0 {
			runtime.Gosched()
		}
		return each
	}
	idle := cost("silent", nil, e.door.waiting)
	shaking := cost("in the middle of a handshake", hello, e.door.shaking)
	if !raceDetector {
		assert.Less(t, idle, 12<<10)
		assert.Less(t, shaking, 96<<10)
	}
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, e.Close())
}

// inUse is the memory in use, of the heap and of stacks.
func inUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
