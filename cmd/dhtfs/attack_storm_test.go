//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What package transfer lets strangers have: so many handshakes at once after a
// pause, and so many a second.
const (
	stormBurst = 300
	stormRate  = 30
)

// firstRecord is what a TLS client says first. Whoever gets it has to compute a key
// and a signature; sending it costs nothing.
func (s *siege) firstRecord(t testing.TB) []byte {
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	go func() {
		_ = tls.Client(client, s.foreign.ClientTLS(s.machine, time.Now)).Handshake()
	}()
	head := make([]byte, 5)
	_, err := io.ReadFull(server, head)
	require.NoError(t, err)
	record := append(head, make([]byte, binary.BigEndian.Uint16(head[3:]))...)
	_, err = io.ReadFull(server, record[5:])
	require.NoError(t, err)
	return record
}

// storm begins handshakes from 50 addresses, up to 1,000 a second, until ctx ends,
// and counts those that are answered.
func (s *siege) storm(ctx context.Context, t testing.TB, busy *sync.WaitGroup) (begun, answered *atomic.Int64) {
	begun, answered = new(atomic.Int64), new(atomic.Int64)
	first := s.firstRecord(t)
	places := make(chan struct{}, 400) // those that wait for their turn are kept waiting
	busy.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case <-ctx.Done():
				return
			case places <- struct{}{}:
			}
			busy.Go(func() {
				defer func() { <-places }()
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(1+i%50))}, Timeout: time.Second}
				conn, err := dialer.DialContext(ctx, "tcp", s.addr)
				if err != nil {
					return
				}
				defer func() { _ = conn.Close() }()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				begun.Add(1)
				if _, err := conn.Write(first); err != nil {
					return
				}
				if n, _ := conn.Read(make([]byte, 1)); n == 1 {
					answered.Add(1)
				}
			})
		}
	})
	return begun, answered
}

// weather has a member restart in the middle of a storm of handshakes: it is let in
// again and serves, and strangers get no more than their share.
func (s *siege) weather(t *testing.T, files shelf) {
	start := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	begun, answered := s.storm(ctx, t, &busy)
	for begun.Load() < 2*stormBurst { // until strangers have used up what they may have at once
		time.Sleep(10 * time.Millisecond)
	}
	back := s.ring.Nodes[1]
	back.Kill(t)
	back.Up(t)
	files.check(t, back)
	files.check(t, s.target)
	cancel()
	busy.Wait()
	most := stormBurst + int64(stormRate*time.Since(start).Seconds())
	t.Logf("%d of %d handshakes of strangers were answered in %v", answered.Load(), begun.Load(), time.Since(start))
	assert.LessOrEqual(t, answered.Load(), most)
	assert.Greater(t, answered.Load(), int64(stormBurst)/2)
}
