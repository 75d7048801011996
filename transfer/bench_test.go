package transfer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// loopback returns a member and a peer that it reaches over a real socket.
func loopback(b *testing.B, h Handler) (*member, Peer) {
	r := newRing(b)
	served := r.start("b", h, nil)
	from := r.start("a", echo, func(c *Config) { c.Dial = new(net.Dialer).DialContext })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- served.Serve(ctx, ln) }()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-done)
	})
	return from, Peer{Machine: served.peer.Machine, Addrs: []string{ln.Addr().String()}}
}

func BenchmarkCall(b *testing.B) {
	for name, parallel := range map[string]int{"one": 1, "64 at once": 64} {
		b.Run(name, func(b *testing.B) {
			from, to := loopback(b, echo)
			req := make([]byte, 200)
			var callers sync.WaitGroup
			for i := range parallel {
				callers.Go(func() {
					for range (b.N + i) / parallel {
						var resp []byte
						if err := from.Call(b.Context(), to, 1, req, &resp); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
		})
	}
}

// discard reads chunks and verifies none.
func discard(_ context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
	for {
		c, err := s.ReadChunk()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c.Release()
	}
}

// verify reads chunks and decodes them.
func verify(ctx context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
	_, err := new(Decoder).DecodeStream(ctx, s.ReadChunk, func(Chunk, []byte) error { return nil })
	return err
}

func BenchmarkStream(b *testing.B) {
	for _, c := range []struct {
		name    string
		handler func(context.Context, Remote, uint16, []byte, *Stream) error
		mode    Mode
		data    []byte
	}{
		{"discard raw", discard, Off, nil},
		{"verify raw", verify, Off, noise(MaxChunk)},
		{"verify noise auto", verify, Auto, noise(MaxChunk)},
		{"verify text auto", verify, Auto, text(MaxChunk)},
		{"verify text zstd", verify, Level1, text(MaxChunk)},
	} {
		b.Run(c.name, func(b *testing.B) {
			from, to := loopback(b, handler{stream: c.handler})
			s, err := from.Open(b.Context(), to, 1, nil)
			require.NoError(b, err)
			defer s.Abort(ErrClosed)
			b.SetBytes(MaxChunk)
			b.ReportAllocs()
			b.ResetTimer()
			if c.data == nil {
				chunk := rawChunk(MaxChunk)
				for range b.N {
					require.NoError(b, s.WriteChunk(chunk))
				}
			} else {
				r := io.LimitReader(&repeat{data: c.data}, int64(b.N)*MaxChunk)
				_, err := NewCompressor(c.mode).EncodeStream(b.Context(), r, s.WriteChunk)
				require.NoError(b, err)
			}
			require.NoError(b, s.EndChunks())
			require.NoError(b, s.Close())
		})
	}
}

// repeat reads the same bytes for ever.
type repeat struct {
	data []byte
	r    bytes.Reader
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.r.Len() == 0 {
		r.r.Reset(r.data)
	}
	return r.r.Read(p)
}

func BenchmarkOpenAndClose(b *testing.B) {
	from, to := loopback(b, handler{stream: discard})
	small := rawChunk(10 << 10)
	for range b.N {
		s, err := from.Open(b.Context(), to, 1, nil)
		require.NoError(b, err)
		require.NoError(b, s.WriteChunk(small))
		require.NoError(b, s.EndChunks())
		require.NoError(b, s.Close())
	}
}

// What TLS alone can do, to compare the streams with.
func BenchmarkPlainTLS(b *testing.B) {
	r := newRing(b)
	server, client := r.identity("b"), r.identity("a")
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server.ServerTLS(false))
	require.NoError(b, err)
	defer func() { _ = ln.Close() }()
	done := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, c)
		}
		done <- err
	}()
	cfg := Config{}
	cfg.setDefaults()
	c, err := tls.Dial("tcp", ln.Addr().String(), client.ClientTLS(server.Machine(), cfg.Now))
	require.NoError(b, err)
	data := make([]byte, MaxChunk)
	b.SetBytes(MaxChunk)
	b.ResetTimer()
	for range b.N {
		_, err := c.Write(data)
		require.NoError(b, err)
	}
	require.NoError(b, c.Close())
	require.NoError(b, <-done)
}
