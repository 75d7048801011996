package transfer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// raw is a member that speaks TLS and then what the test wants.
func (r *ring) raw(to *member) (*wire, *trust.Identity) {
	id := r.identity("raw")
	conn, err := r.net.Dialer("raw")(r.tb.Context(), "tcp", to.peer.Addrs[0])
	require.NoError(r.tb, err)
	t := tls.Client(conn, id.ClientTLS(to.peer.Machine, time.Now))
	require.NoError(r.tb, t.Handshake())
	return newWire(conn, t, time.Hour), id
}

// greeted is raw with the hello done.
func (r *ring) greeted(to *member, role uint8) *wire {
	w, id := r.raw(to)
	own := hello{Min: minProtocol, Max: maxProtocol, Ring: id.Root().ID(), Machine: id.Machine(), MaxChunk: MaxChunk, Role: role}
	_, err := own.exchange(w, codes(builtin), to.peer.Machine)
	require.NoError(r.tb, err)
	return w
}

// closed waits until the other side has closed, and returns what it sent.
func closed(t *testing.T, w *wire) []byte {
	t.Helper()
	got, err := io.ReadAll(w.tls)
	require.True(t, err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET), "%v", err)
	return got
}

func TestSlowHandshakesAreCutOff(t *testing.T) {
	for name, begin := range map[string]func(r *ring, to *member) net.Conn{
		"nothing is sent": func(r *ring, to *member) net.Conn {
			conn, err := r.net.Dialer("raw")(r.tb.Context(), "tcp", to.peer.Addrs[0])
			require.NoError(r.tb, err)
			return conn
		},
		"no hello": func(r *ring, to *member) net.Conn {
			w, _ := r.raw(to)
			return w.raw
		},
		"a byte a second": func(r *ring, to *member) net.Conn {
			w, _ := r.raw(to)
			go func() {
				frame := appendHeader(nil, frameHello, 4<<10)
				for {
					if _, err := w.tls.Write(frame[:1]); err != nil {
						return
					}
					frame = append(frame[1:], 0)
					time.Sleep(time.Second)
				}
			}()
			return w.raw
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				b := r.start("b", echo, nil)
				conn := begin(r, b)
				start := time.Now()
				_, _ = io.Copy(io.Discard, conn)
				assert.LessOrEqual(t, time.Since(start), 5*time.Second)
				require.NoError(t, conn.Close())
				time.Sleep(2 * time.Second) // until the slow one has noticed
			})
		})
	}
}

func TestFirstFrameMustBeAGoodHello(t *testing.T) {
	for name, frame := range map[string][]byte{
		"garbage":      bytes.Repeat([]byte{0xff}, 20),
		"giant length": appendHeader(nil, frameHello, 1<<31),
		"a call":       appendFrame(nil, frameCall, make([]byte, callHeader)),
		"no CBOR":      appendFrame(nil, frameHello, []byte{0xff}),
		"empty":        appendFrame(nil, frameHello, mustMarshal(hello{})),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				b := r.start("b", echo, nil)
				w, _ := r.raw(b)
				_, err := w.tls.Write(frame)
				require.NoError(t, err)
				got := closed(t, w)
				require.NotEmpty(t, got, "it is told why")
				assert.Equal(t, byte(frameError), got[0])
				a := r.start("a", echo, nil)
				require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil), "others are served")
				assert.Empty(t, b.door.inside[MachineID{}])
			})
		})
	}
}

func TestBadFramesEndTheConnection(t *testing.T) {
	for _, c := range []struct {
		name  string
		role  uint8
		frame []byte
	}{
		{"unknown type", roleControl, appendFrame(nil, 99)},
		{"giant call", roleControl, appendHeader(nil, frameCall, 1<<30)},
		{"chunk on control", roleControl, append(appendChunkHeader(nil, rawChunk(1)), 0)},
		{"short call", roleControl, appendFrame(nil, frameCall, make([]byte, 3))},
		{"message outside a stream", roleBulk, appendFrame(nil, frameMessage, []byte{1})},
		{"call on bulk", roleBulk, appendFrame(nil, frameCall, make([]byte, callHeader))},
		{"giant chunk", roleBulk, appendHeader(nil, frameChunk, 1<<30)},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				b := r.start("b", handler{call: echo.call, stream: sink}, nil)
				w := r.greeted(b, c.role)
				_, err := w.tls.Write(c.frame)
				require.NoError(t, err)
				closed(t, w)
				synctest.Wait()
				assert.Empty(t, b.door.inside)
				assert.Zero(t, b.door.conns)
			})
		})
	}
}

func TestBadFramesInAStreamFailTheHandler(t *testing.T) {
	for name, frame := range map[string][]byte{
		"open within":   appendFrame(nil, frameOpen, make([]byte, openHeader)),
		"damaged chunk": append(appendChunkHeader(nil, Chunk{Raw: 9, Flags: 4}), 1),
		"giant chunk":   appendHeader(nil, frameChunk, 1<<30),
		"early end":     appendFrame(nil, frameDone),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				ended := make(chan error, 1)
				b := r.start("b", handler{stream: func(_ context.Context, _ Remote, _ uint16, _ []byte, s *Stream) error {
					c, err := s.ReadChunk()
					c.Release()
					ended <- err
					return err
				}}, nil)
				w := r.greeted(b, roleBulk)
				_, err := w.tls.Write(append(appendFrame(nil, frameOpen, make([]byte, openHeader)), frame...))
				require.NoError(t, err)
				require.Error(t, <-ended)
				w.close()
			})
		})
	}
}

func TestOnePeerCannotFillTheMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{call: func(ctx context.Context, _ Remote, _ uint16, _ []byte) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, nil)
		w := r.greeted(b, roleControl)
		payload := make([]byte, callHeader+MaxPayload)
		payload[10] = 1 // a long time-out
		for i := range 8 {
			payload[7] = byte(i)
			require.NoError(t, w.writeFrame(frameCall, payload))
		}
		refused := 0
		for range 5 {
			typ, n, err := readHeader(w.r)
			require.NoError(t, err)
			body, err := readPayload(w.r, n, nil)
			require.NoError(t, err)
			require.Equal(t, frameFail, typ)
			require.ErrorIs(t, codes(builtin).decode(body[replyHeader:]), ErrBusy)
			refused++
		}
		assert.Equal(t, 5, refused, "16 MiB of calls are taken")
		w.close()
	})
}

func TestAJoinerIsServedNothingElse(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, func(c *Config) {
			c.Join = func(context.Context, ed25519.PublicKey, []byte) ([]byte, error) { return nil, errTest }
		})
		token := trust.Token{Ring: r.auth.Root().ID(), Root: r.auth.Root().Fingerprint()}
		cfg, err := trust.JoinTLS(newKey(t), token, time.Now)
		require.NoError(t, err)
		conn, err := r.net.Dialer("j")(t.Context(), "tcp", b.peer.Addrs[0])
		require.NoError(t, err)
		c := tls.Client(conn, cfg)
		require.NoError(t, c.Handshake())
		w := newWire(conn, c, time.Hour)
		require.NoError(t, w.writeFrame(frameCall, make([]byte, callHeader)))
		assert.Empty(t, closed(t, w))

		// Nor may a joiner's self-signed certificate be used as a member's.
		cfg.NextProtos = []string{trust.ProtocolMember}
		cfg.VerifyConnection = nil
		conn, err = r.net.Dialer("j")(t.Context(), "tcp", b.peer.Addrs[0])
		require.NoError(t, err)
		c = tls.Client(conn, cfg)
		require.NoError(t, c.Handshake(), "TLS 1.3 tells a client late")
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, handshakeError(err), ErrDenied, "the alert is understood")
		// And without a protocol there is nothing.
		cfg.NextProtos = nil
		conn, err = r.net.Dialer("j")(t.Context(), "tcp", b.peer.Addrs[0])
		require.NoError(t, err)
		c = tls.Client(conn, cfg)
		require.NoError(t, c.Handshake())
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, handshakeError(err), ErrDenied)
	})
}

// A listener that fails a few times, as when file descriptors run out.
type failingListener struct {
	net.Listener
	mu   sync.Mutex
	left int
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left > 0 {
		l.left--
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestAcceptBacksOffAndRecovers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		var log bytes.Buffer
		b := r.start("b", echo, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		b.stop()
		ln, err := r.net.Listen("b:2")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- b.Serve(ctx, &failingListener{Listener: ln, left: 20}) }()
		a := r.start("a", echo, nil)
		b.peer.Addrs = []string{"b:2"}
		for a.Call(t.Context(), b.peer, 1, []byte{1}, nil) != nil {
			require.Less(t, time.Since(start), time.Minute)
		}
		assert.Greater(t, time.Since(start), 5*time.Second)
		cancel()
		require.NoError(t, <-done)
		assert.Contains(t, log.String(), "accept failed")

		ln, err = r.net.Listen("b:3")
		require.NoError(t, err)
		require.NoError(t, ln.Close())
		require.ErrorIs(t, b.Serve(t.Context(), ln), net.ErrClosed)
	})
}

func TestDisconnectEndsBothDirections(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{call: echo.call, stream: sink}, nil)
		a := r.start("a", handler{call: echo.call, stream: sink}, nil)
		out, err := b.Open(t.Context(), a.peer, 1, nil)
		require.NoError(t, err)
		in, err := a.Open(t.Context(), b.peer, 1, nil)
		require.NoError(t, err)
		require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
		synctest.Wait()
		b.Disconnect(a.peer.Machine)
		_, err = out.ReadChunk()
		require.ErrorIs(t, err, ErrClosed)
		_, err = in.ReadChunk()
		require.ErrorIs(t, err, ErrUnreachable)
		out.Abort(err)
		in.Abort(err)
		synctest.Wait()
		assert.Zero(t, b.door.conns)
	})
}
