package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sink takes chunks and acknowledges a trailer with the number of bytes.
func sink(_ context.Context, _ Remote, _ uint16, header []byte, s *Stream) error {
	size := 0
	for {
		c, err := s.ReadChunk()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		size += len(c.Payload)
		c.Release()
	}
	var trailer string
	if err := s.Receive(&trailer); err != nil {
		return err
	}
	return s.Send(trailer + string(header[1:])) // a short CBOR string
}

func rawChunk(n int) Chunk {
	b := make([]byte, n)
	return Chunk{Raw: n, Payload: b, Sum: sha256.Sum256(b)}
}

// upload sends n chunks and a trailer and closes.
func upload(ctx context.Context, from *member, to Peer, n int) error {
	s, err := from.Open(ctx, to, 3, "head")
	if err != nil {
		return err
	}
	defer s.Abort(ErrClosed)
	for range n {
		if err := s.WriteChunk(rawChunk(MaxChunk)); err != nil {
			return err
		}
	}
	if err := s.EndChunks(); err != nil {
		return err
	}
	if err := s.Send("tail "); err != nil {
		return err
	}
	var ack string
	if err := s.Receive(&ack); err != nil {
		return err
	}
	if ack != "tail head" {
		return errTest
	}
	return s.Close()
}

func TestUpload(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: sink}, nil)
		a := r.start("a", echo, nil)
		for range 5 {
			require.NoError(t, upload(t.Context(), a, b.peer, 3))
		}
		assert.EqualValues(t, 1, b.accepted.Load(), "streams in a row share a connection")
		time.Sleep(30 * time.Second)
		require.NoError(t, upload(t.Context(), a, b.peer, 0))
		assert.EqualValues(t, 1, b.accepted.Load(), "which is kept for a while")
		time.Sleep(10 * time.Minute)
		require.NoError(t, upload(t.Context(), a, b.peer, 0))
		assert.EqualValues(t, 2, b.accepted.Load(), "but not for ever")
	})
}

func TestDownloadIsCheckedAndResumable(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: func(_ context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
			for range 3 {
				if err := s.WriteChunk(rawChunk(1000)); err != nil {
					return err
				}
			}
			return errTest
		}}, nil)
		a := r.start("a", echo, nil)
		s, err := a.Open(t.Context(), b.peer, 1, nil)
		require.NoError(t, err)
		defer s.Abort(ErrClosed)
		got := 0
		_, err = new(Decoder).DecodeStream(t.Context(), s.ReadChunk, func(_ Chunk, raw []byte) error {
			got += len(raw)
			return nil
		})
		require.ErrorIs(t, err, errTest)
		assert.Equal(t, 3000, got, "what came before the error is delivered")
		require.ErrorIs(t, s.Send(1), errTest)
	})
}

func TestBlockedWriterLearnsWhy(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: func(context.Context, Remote, uint16, []byte, *Stream) error {
			time.Sleep(time.Second) // the writer is stuck by then
			return errTest
		}}, nil)
		a := r.start("a", echo, nil)
		s, err := a.Open(t.Context(), b.peer, 1, nil)
		require.NoError(t, err)
		defer s.Abort(ErrClosed)
		start := time.Now()
		for err == nil {
			err = s.WriteChunk(rawChunk(MaxChunk))
		}
		require.ErrorIs(t, err, errTest)
		assert.LessOrEqual(t, time.Since(start), 2*time.Second)
	})
}

func TestSlowHandlerIsNoSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: func(ctx context.Context, from Remote, kind uint16, header []byte, s *Stream) error {
			time.Sleep(5 * time.Minute)
			return sink(ctx, from, kind, header, s)
		}}, nil)
		a := r.start("a", echo, nil)
		require.NoError(t, upload(t.Context(), a, b.peer, 0))

		s, err := a.Open(t.Context(), b.peer, 1, "head")
		require.NoError(t, err)
		time.Sleep(10 * time.Minute) // as when standard input pauses
		require.NoError(t, s.EndChunks())
		require.NoError(t, s.Send("tail"))
		require.NoError(t, s.Close())
		synctest.Wait()
		require.NoError(t, upload(t.Context(), a, b.peer, 0))
	})
}

func TestSlowLinkIsNoSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: sink}, nil)
		a := r.start("a", echo, nil)
		r.net.SetBandwidth("a", "b", 16<<10)
		start := time.Now()
		require.NoError(t, upload(t.Context(), a, b.peer, 4))
		assert.Greater(t, time.Since(start), 4*time.Minute)
	})
}

func TestLostPeerEndsBothSides(t *testing.T) {
	for name, cut := range map[string]func(r *ring){
		"killed": func(r *ring) { r.net.Drop("a", "b") },
		"silent": func(r *ring) { r.net.CutBoth("a", "b") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				ended := make(chan error, 1)
				b := r.start("b", handler{stream: func(ctx context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
					_, err := s.ReadChunk()
					<-ctx.Done()
					ended <- err
					return err
				}}, nil)
				a := r.start("a", echo, nil)
				s, err := a.Open(t.Context(), b.peer, 1, nil)
				require.NoError(t, err)
				defer s.Abort(ErrClosed)
				synctest.Wait()
				start := time.Now()
				cut(r)
				_, err = s.ReadChunk()
				require.ErrorIs(t, err, ErrUnreachable)
				require.ErrorIs(t, <-ended, ErrUnreachable)
				assert.LessOrEqual(t, time.Since(start), 20*time.Second)
			})
		})
	}
}

func TestCancelEndsAStream(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		ended := make(chan error, 1)
		b := r.start("b", handler{stream: func(ctx context.Context, _ Remote, _ uint16, _ []byte, _ *Stream) error {
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		}}, nil)
		a := r.start("a", echo, nil)
		ctx, cancel := context.WithCancel(t.Context())
		s, err := a.Open(ctx, b.peer, 1, nil)
		require.NoError(t, err)
		time.AfterFunc(time.Minute, cancel)
		_, err = s.ReadChunk()
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, s.Close(), context.Canceled)
		require.Error(t, <-ended)

		ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s, err = a.Open(ctx, b.peer, 1, nil)
		require.NoError(t, err)
		defer s.Abort(ErrClosed)
		synctest.Wait()
		r.net.CutBoth("a", "b")
		_, err = s.ReadChunk()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, <-ended, context.DeadlineExceeded, "the deadline travels")
	})
}

func TestAbortTellsWhy(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		ended := make(chan error, 1)
		b := r.start("b", handler{stream: func(_ context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
			_, err := s.ReadChunk()
			ended <- err
			return err
		}}, nil)
		a := r.start("a", echo, nil)
		s, err := a.Open(t.Context(), b.peer, 1, nil)
		require.NoError(t, err)
		s.Abort(errTest)
		require.ErrorIs(t, <-ended, errTest)
		require.ErrorIs(t, s.Close(), ErrClosed)
		require.ErrorIs(t, s.Send(1), ErrClosed)
	})
}

func TestCloseReturnsTheHandlersError(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: func(_ context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
			if err := s.Receive(new(int)); !errors.Is(err, io.EOF) {
				return err
			}
			return errTest
		}}, nil)
		a := r.start("a", echo, nil)
		s, err := a.Open(t.Context(), b.peer, 1, nil)
		require.NoError(t, err)
		require.ErrorIs(t, s.Close(), errTest)
	})
}

func TestEndsAreNotMistaken(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: func(_ context.Context, _ Remote, kind uint16, _ []byte, s *Stream) error {
			if kind == 2 {
				return s.Send("a message")
			}
			return s.WriteChunk(rawChunk(10)) // and no end of the chunks
		}}, nil)
		a := r.start("a", echo, nil)
		s, err := a.Open(t.Context(), b.peer, 1, nil)
		require.NoError(t, err)
		c, err := s.ReadChunk()
		require.NoError(t, err)
		c.Release()
		_, err = s.ReadChunk()
		require.Equal(t, io.ErrUnexpectedEOF, err, "no chunks may be missing unnoticed")
		require.ErrorIs(t, s.WriteChunk(rawChunk(1)), ErrClosed, "the handler has gone")
		require.NoError(t, s.Close())

		s, err = a.Open(t.Context(), b.peer, 2, nil)
		require.NoError(t, err)
		_, err = s.ReadChunk()
		require.ErrorIs(t, err, ErrProtocol)
		require.ErrorIs(t, s.WriteChunk(Chunk{Raw: 5, Payload: []byte{1}}), ErrProtocol)
		s.Abort(err)
		require.ErrorIs(t, s.Close(), ErrClosed)
	})
}

func TestUnreadRestIsThrownAway(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: func(_ context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
			for range 10 {
				if err := s.Send("more"); err != nil {
					return err
				}
			}
			return nil
		}}, nil)
		a := r.start("a", echo, nil)
		for range 2 {
			s, err := a.Open(t.Context(), b.peer, 1, nil)
			require.NoError(t, err)
			require.NoError(t, s.Receive(new(string)))
			require.NoError(t, s.Close())
		}
		assert.EqualValues(t, 1, b.accepted.Load())
	})
}

func TestHalfOpenPooledConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: sink}, nil)
		a := r.start("a", echo, nil)
		require.NoError(t, upload(t.Context(), a, b.peer, 1))
		r.net.Down("b")
		b.stop()
		r.net.HealAll()
		time.Sleep(10 * time.Second)
		start := time.Now()
		require.ErrorIs(t, upload(t.Context(), a, b.peer, 1), ErrUnreachable)
		assert.LessOrEqual(t, time.Since(start), 8*time.Second)
		r.net.Up("b")
		r.serve(b)
		require.NoError(t, upload(t.Context(), a, b.peer, 1))
	})
}

func TestStreamsOfOneMachineAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{stream: sink}, func(c *Config) { c.MaxPeerConns = 3 })
		a := r.start("a", echo, nil)
		var open []*Stream
		for range 3 {
			s, err := a.Open(t.Context(), b.peer, 1, nil)
			require.NoError(t, err)
			open = append(open, s)
		}
		_, err := a.Open(t.Context(), b.peer, 1, nil)
		require.ErrorIs(t, err, ErrBusy)
		c := r.start("c", echo, nil)
		require.NoError(t, upload(t.Context(), c, b.peer, 1), "others are served")
		open[0].Abort(errTest)
		synctest.Wait()
		require.NoError(t, upload(t.Context(), a, b.peer, 1))
		for _, s := range open[1:] {
			s.Abort(errTest)
		}
	})
}

func TestStreamsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		r.net.SetDelays(5*time.Millisecond, 5*time.Millisecond)
		b := r.start("b", handler{stream: sink}, nil)
		a := r.start("a", echo, nil)
		rng := rand.New(rand.NewPCG(1, 1))
		errs := make(chan error)
		for range 30 {
			n := rng.IntN(3)
			go func() { errs <- upload(t.Context(), a, b.peer, n) }()
		}
		for range 30 {
			require.NoError(t, <-errs)
		}
	})
}

func TestRealSockets(t *testing.T) {
	r := newRing(t)
	var dialer net.Dialer
	const failing = 99
	b := r.start("b", handler{call: echo.call, stream: func(ctx context.Context, from Remote, kind uint16, header []byte, s *Stream) error {
		if kind == failing {
			return errTest
		}
		return sink(ctx, from, kind, header, s)
	}}, nil)
	a := r.start("a", echo, func(c *Config) { c.Dial = dialer.DialContext })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, ln) }()
	to := Peer{Machine: b.peer.Machine, Addrs: []string{ln.Addr().String()}}
	var got []byte
	require.NoError(t, a.Call(t.Context(), to, 1, []byte("x"), &got))
	assert.True(t, bytes.Equal([]byte("x"), got))
	require.NoError(t, upload(t.Context(), a, to, 5))
	for range 20 { // a reset connection must not swallow the reason
		s, err := a.Open(t.Context(), to, failing, nil)
		for err == nil {
			err = s.WriteChunk(rawChunk(MaxChunk))
		}
		require.ErrorIs(t, err, errTest)
		s.Abort(err)
	}
	s, err := a.Open(t.Context(), to, 1, "head")
	require.NoError(t, err)
	defer s.Abort(ErrClosed)
	cancel()
	require.NoError(t, <-done, "a stream under way does not keep Serve")
	require.ErrorIs(t, a.Call(t.Context(), to, 1, nil, nil), ErrUnreachable)
}
