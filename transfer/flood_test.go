package transfer

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// knock opens a connection that says what first has, and nothing more.
func (r *ring) knock(from string, to *member, first []byte) net.Conn {
	conn, err := r.net.Dialer(from)(r.tb.Context(), "tcp", to.peer.Addrs[0])
	require.NoError(r.tb, err)
	r.tb.Cleanup(func() { _ = conn.Close() })
	if len(first) > 0 {
		_, err = conn.Write(first)
		require.NoError(r.tb, err)
	}
	return conn
}

// helloBytes is what a member's TLS says first.
func (r *ring) helloBytes() []byte {
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, r.identity("x").ClientTLS(trust.MachineID{}, time.Now)).Handshake()
	}()
	first, err := readClientHello(server)
	require.NoError(r.tb, err)
	_ = server.Close()
	_ = client.Close()
	return first
}

// A member gets in while strangers hold all they can get and more come, at either
// of the two stages, also from the member's own network.
func TestFloodLeavesRoomForMembers(t *testing.T) {
	for name, talk := range map[string]bool{"silent": false, "half a handshake": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				var first []byte
				if talk {
					first = r.helloBytes()
				}
				b := r.start("b", echo, func(c *Config) { c.MaxStrangers, c.MaxHandshakes = 8, 8 })
				for i := range 100 {
					r.knock(fmt.Sprint("stranger", i%3), b, first)
					synctest.Wait()
				}
				assert.LessOrEqual(t, b.door.waiting.count(), 8)
				assert.LessOrEqual(t, b.door.shaking.count(), 8)
				start := time.Now()
				a := r.start("a", echo, nil)
				require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
				require.Less(t, time.Since(start), time.Second, "not only when the strangers have given up")
			})
		})
	}
}

// What does not begin as TLS does is closed at once, and nothing is read of what
// claims to be long.
func TestNoTLSIsClosedAtOnce(t *testing.T) {
	for name, first := range map[string]string{
		"HTTP":             "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"SSH":              "SSH-2.0-OpenSSH_9.9\r\n",
		"a giant record":   "\x16\x03\x01\xff\xff\x01",
		"an alert":         "\x15\x03\x01\x00\x02\x01\x00",
		"a server's hello": "\x16\x03\x03\x00\x04\x02\x00\x00\x00",
		"too short":        "\x16\x03\x03\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				b := r.start("b", echo, nil)
				start := time.Now()
				conn := r.knock("x", b, []byte(first))
				_, _ = io.Copy(io.Discard, conn)
				assert.Zero(t, time.Since(start))
			})
		})
	}
}

// A byte a second is cut off at every stage: before the handshake (see
// TestSlowHandshakesAreCutOff), in a message and in a chunk.
func TestSlowFramesAreCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		role   uint8
		before []byte
		frame  []byte
	}{
		"a call":           {roleControl, nil, appendHeader(nil, frameCall, callHeader+MaxPayload)},
		"a chunk":          {roleBulk, appendFrame(nil, frameOpen, make([]byte, openHeader)), appendChunkHeader(nil, rawChunk(MaxChunk))},
		"a message":        {roleBulk, appendFrame(nil, frameOpen, make([]byte, openHeader)), appendHeader(nil, frameMessage, MaxPayload)},
		"a stream's start": {roleBulk, nil, appendHeader(nil, frameOpen, openHeader+maxStreamHeader)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				b := r.start("b", handler{call: echo.call, stream: sink}, nil)
				w := r.greeted(b, c.role)
				_, err := w.tls.Write(append(c.before, c.frame...))
				require.NoError(t, err)
				start := time.Now()
				go func() {
					for {
						if _, err := w.tls.Write([]byte{0}); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				closed(t, w)
				assert.LessOrEqual(t, time.Since(start), 17*time.Second)
				w.close()
				time.Sleep(2 * time.Second) // until the slow one has noticed
			})
		})
	}
}

// A slow link is no dead one: a frame that takes minutes arrives.
func TestSlowLinksAreServed(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		w := r.greeted(b, roleControl)
		body := mustMarshal(make([]byte, 1<<20))
		h := make([]byte, callHeader)
		h[9], h[10] = 1, 1 // kind and a long time-out
		frame := appendFrame(nil, frameCall, h, body)
		for len(frame) > 0 {
			n := min(len(frame), 2<<10)
			_, err := w.tls.Write(frame[:n])
			require.NoError(t, err)
			frame = frame[n:]
			time.Sleep(time.Second)
		}
		typ, _, err := readHeader(w.r)
		require.NoError(t, err)
		assert.Equal(t, frameReply, typ)
		w.close()
	})
}

// Old control connections of a machine make room for its new one: it has most
// likely forgotten them.
func TestControlConnectionsOfOneMachineAreFew(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		id := r.identity("many")
		open := func() *wire {
			conn, err := r.net.Dialer("many")(t.Context(), "tcp", b.peer.Addrs[0])
			require.NoError(t, err)
			c := tls.Client(conn, id.ClientTLS(b.peer.Machine, time.Now))
			require.NoError(t, c.Handshake())
			w := newWire(conn, c, time.Hour)
			own := hello{Min: minProtocol, Max: maxProtocol, Ring: id.Root().ID(), Machine: id.Machine(), MaxChunk: MaxChunk, Role: roleControl}
			_, err = own.exchange(w, codes(builtin), b.peer.Machine)
			require.NoError(t, err)
			synctest.Wait()
			return w
		}
		wires := []*wire{open()}
		for range maxPeerControls + 3 {
			wires = append(wires, open())
		}
		b.door.mu.Lock()
		assert.Len(t, b.door.inside[id.Machine()].links, maxPeerControls)
		b.door.mu.Unlock()
		closed(t, wires[0])
		last := wires[len(wires)-1]
		require.NoError(t, last.writeFrame(framePing, make([]byte, pingSize)))
		typ, _, err := readHeader(last.r)
		require.NoError(t, err)
		assert.Equal(t, framePong, typ)
		for _, w := range wires {
			w.close()
		}
	})
}

func TestCrowdSendsAwayWhoHasMost(t *testing.T) {
	c := newCrowd(4)
	conns := map[string]*pipe{}
	enter := func(addr string) *stranger {
		p := &pipe{addr: addr}
		conns[addr] = p
		return c.enter(p, func() { _ = p.Close() })
	}
	enter("10.0.0.1:1")
	enter("10.0.0.1:2")
	enter("[2001:db8:0:1::1]:1")
	enter("[2001:db8:0:1::2]:1") // the same network
	fresh := enter("10.0.0.9:1")
	assert.True(t, conns["10.0.0.1:1"].closed, "both have two; this came first")
	enter("[::ffff:10.0.0.8]:1")
	assert.True(t, conns["[2001:db8:0:1::1]:1"].closed)
	enter("10.0.0.7:1")
	assert.True(t, conns["10.0.0.1:2"].closed, "one each; this came first")
	assert.False(t, c.leave(fresh))
	assert.False(t, c.leave(fresh), "twice does no harm")
	assert.Equal(t, 3, c.count())
	c.thin(2)
	assert.Equal(t, 1, c.count())
	c.thin(4)
	c.thin(4)
	assert.Zero(t, c.count())
	assert.Empty(t, c.from)
	assert.False(t, conns["10.0.0.9:1"].closed)
	assert.True(t, conns["10.0.0.7:1"].closed)
}

// Whoever comes and goes, it is always the first one of the largest network who has
// to go, and of equal networks the one who came first.
func TestCrowdAgreesWithACount(t *testing.T) {
	const most = 20
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		c := newCrowd(most)
		var inside []*stranger // in the order of arrival
		worst := func() *stranger {
			count := map[network]int{}
			for _, s := range inside {
				count[s.network]++
			}
			return slices.MaxFunc(inside, func(a, b *stranger) int { return cmp.Compare(count[a.network], count[b.network]) })
		}
		gone := func(s *stranger) {
			inside = slices.DeleteFunc(inside, func(x *stranger) bool { return x == s })
		}
		for range 2000 {
			switch n := r.IntN(50); {
			case n < 16 && len(inside) > 0:
				s := inside[r.IntN(len(inside))]
				require.False(t, c.leave(s), "seed %d", seed)
				gone(s)
			case n == 49:
				var out []*stranger
				for range (len(inside) + 3) / 4 {
					out = append(out, worst())
					gone(out[len(out)-1])
				}
				c.thin(4)
				for _, s := range out {
					require.True(t, s.pushed, "seed %d", seed)
				}
			default:
				var out *stranger
				if len(inside) == most {
					out = worst()
					gone(out)
				}
				inside = append(inside, c.enter(&pipe{addr: fmt.Sprintf("10.0.0.%d:1", r.IntN(1+r.IntN(30)))}, func() {}))
				require.True(t, out == nil || out.pushed, "seed %d", seed)
			}
			require.Equal(t, len(inside), c.count(), "seed %d", seed)
		}
	}
}

// pipe is a connection that remembers that it was closed.
type pipe struct {
	net.Conn
	addr   string
	closed bool
}

func (p *pipe) RemoteAddr() net.Addr { return pipeAddr(p.addr) }
func (p *pipe) Close() error         { p.closed = true; return nil }

type pipeAddr string

func (a pipeAddr) Network() string { return "tcp" }
func (a pipeAddr) String() string  { return string(a) }

// exhaustedListener has no file descriptor for the connection after the first few.
type exhaustedListener struct {
	net.Listener
	left int
}

func (l *exhaustedListener) Accept() (net.Conn, error) {
	if l.left--; l.left == -1 {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

// When file descriptors run out, strangers give theirs back.
func TestExhaustionSendsStrangersAway(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		b.stop()
		ln, err := r.net.Listen("b:1")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Serve(ctx, &exhaustedListener{ln, 8}) }()
		for range 8 {
			r.knock("x", b, nil)
		}
		synctest.Wait()
		assert.Equal(t, 6, b.door.waiting.count(), "one in four has gone")
		a := r.start("a", echo, nil)
		require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
		cancel()
		require.NoError(t, <-done)
	})
}
