//go:build unix

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// The bytes on the wire, as package transfer describes them, made by hand.
const (
	helloFrame = 1
	errorFrame = 2
	callFrame  = 16
	openFrame  = 32
	chunkFrame = 33

	control = 1
	bulk    = 2
)

func frameOf(t byte, parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	return append(binary.BigEndian.AppendUint32([]byte{t}, uint32(len(payload))), payload...)
}

// announce is the head of a frame whose payload does not come.
func announce(t byte, length uint32) []byte { return binary.BigEndian.AppendUint32([]byte{t}, length) }

func cborOf(v any) []byte {
	b, err := transfer.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// protocol is the version that daemons speak.
const protocol = 2

// helloOf is the hello of a machine.
func helloOf(s *siege, machine transfer.MachineID, purpose int) []byte {
	ring := s.root.ID()
	return frameOf(helloFrame, cborOf(map[int]any{
		1: protocol, 2: protocol, 3: 0, 4: ring[:], 5: machine[:], 6: "evil\x1b[31m", 7: 1 << 20, 8: purpose,
	}))
}

// callOf is a call of a kind.
func callOf(kind uint16, request any) []byte {
	head := binary.BigEndian.AppendUint64(nil, 1)
	head = binary.BigEndian.AppendUint16(head, kind)
	head = binary.BigEndian.AppendUint32(head, 60_000)
	return frameOf(callFrame, head, cborOf(request))
}

// openOf begins a stream of a kind.
func openOf(kind uint16, header any) []byte {
	return frameOf(openFrame, binary.BigEndian.AppendUint16(nil, kind), make([]byte, 4), cborOf(header))
}

// inside connects mallory's machine, which is a member, and says hello.
func (s *siege) inside(t testing.TB, purpose int) *tls.Conn {
	conn := tls.Client(s.dial(t), s.mallory.ClientTLS(s.machine, time.Now))
	require.NoError(t, conn.Handshake())
	_, err := conn.Write(helloOf(s, s.mallory.Machine(), purpose))
	require.NoError(t, err)
	var head [5]byte
	if _, err = io.ReadFull(conn, head[:]); err == nil && head[0] == helloFrame {
		_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[1:])))
	}
	if err != nil || head[0] != helloFrame { // others were first: under load only
		_ = conn.Close()
	}
	return conn
}

// sends lets mallory say something and returns the answer: a frame's content, or
// that the connection was closed.
func sends(purpose int, what ...[]byte) func(t testing.TB, s *siege) string {
	return func(t testing.TB, s *siege) string {
		conn := s.inside(t, purpose)
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write(bytes.Join(what, nil))
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		var head [5]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return wasClosed + ": " + err.Error()
		}
		body, err := io.ReadAll(io.LimitReader(conn, int64(min(binary.BigEndian.Uint32(head[1:]), 1<<12))))
		return fmt.Sprintf("frame %d: %q %v", head[0], body, err)
	}
}

// drips lets mallory say something and then a byte a second.
func drips(purpose int, what ...[]byte) func(t testing.TB, s *siege) string {
	return func(t testing.TB, s *siege) string {
		conn := s.inside(t, purpose)
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write(bytes.Join(what, nil))
		start := time.Now()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for time.Since(start) < time.Minute {
			if _, err := conn.Write([]byte{0}); err != nil {
				return fmt.Sprintf("%s after %.0f s", wasClosed, time.Since(start).Seconds())
			}
			<-tick.C
		}
		return "still open"
	}
}

// bomb is a chunk that says it has one byte and unpacks to a great many.
func bomb() []byte {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	payload := enc.EncodeAll(make([]byte, 256<<20), nil)
	raw := make([]byte, 4+1+32)
	binary.BigEndian.PutUint32(raw, 1<<20)
	raw[4] = 1
	return frameOf(chunkFrame, raw, payload)
}

// members are attacks of a machine that is a member and has been taken over.
func members() []attack {
	open := openOf(2, map[int]any{1: "bomb", 2: 0}) // staging a copy
	return []attack{
		{"a hello in another machine's name", func(t testing.TB, s *siege) string {
			conn := tls.Client(s.dial(t), s.mallory.ClientTLS(s.machine, time.Now))
			require.NoError(t, conn.Handshake())
			_, _ = conn.Write(helloOf(s, s.machine, control))
			return heard(conn)
		}, "hello and certificate differ", "hello and certificate differ"},
		{"a ring message in another machine's name", sends(control, callOf(1, map[int]any{
			1: 2, 2: make([]byte, 20), 3: map[int]any{1: make([]byte, 20), 2: make([]byte, 32), 3: "127.0.0.1:1"}, 4: make([]byte, 20),
		})), "another position's name", ""},
		{"a ring message of a place that it chose", func(t testing.TB, s *siege) string {
			own := s.mallory.Machine()
			return sends(control, callOf(1, map[int]any{
				1: 2, 2: make([]byte, 20), 3: map[int]any{1: make([]byte, 20), 2: own[:], 3: "127.0.0.1:1"}, 4: make([]byte, 20),
			}))(t, s)
		}, "another position's name", ""},
		{"a store in another machine's name", sends(bulk, openOf(1, map[int]any{
			1: "x", 2: make([]byte, 16), 3: 0, 10: make([]byte, 32),
		})), "another machine's name", ""},
		{"a tombstone in another machine's name", func(t testing.TB, s *siege) string {
			return sends(control, callOf(12, map[int]any{
				1: map[int]any{1: 1 << 40, 2: make([]byte, 32)},
				2: map[int]any{1: map[int]any{2: []any{s.machine[:]}}, 2: map[int]any{2: make([]byte, 32)}},
				3: map[int]any{
					1: 1, 2: "big", 3: make([]byte, 16), 4: true, 7: make([]byte, 32), 8: make([]byte, 32),
					12: s.machine[:], 13: make([]byte, 64), 14: map[int]any{2: []any{s.machine[:]}},
				},
			}))(t, s)
		}, "access denied", "refused a record"},
		{"a giant hello", func(t testing.TB, s *siege) string {
			conn := tls.Client(s.dial(t), s.mallory.ClientTLS(s.machine, time.Now))
			require.NoError(t, conn.Handshake())
			_, _ = conn.Write(announce(helloFrame, 1<<31))
			return heard(conn)
		}, "at most 4096 are allowed", "too large"},
		{"a giant call", sends(control, announce(callFrame, 1<<32-1)), wasClosed, ""},
		{"a giant chunk", sends(bulk, open, announce(chunkFrame, 1<<30)), wasClosed, ""},
		{"an unknown frame", sends(control, frameOf(99)), wasClosed, ""},
		{"a call of an unknown kind", sends(control, callOf(999, nil)), "call of kind 999", ""},
		{"CBOR that claims a million elements", sends(control, frameOf(callFrame, make([]byte, 9), []byte{10, 0, 0, 0xea, 0x60},
			[]byte{0x9a, 0, 0x10, 0, 0})), "frame 18", ""},
		{"a zstd bomb", sends(bulk, open, bomb()), "damaged", ""},
		{"a name that climbs out", sends(bulk, openOf(2, map[int]any{1: "../../evil", 2: 0})), "bad name", ""},
		{"noise after the hello", func(t testing.TB, s *siege) string {
			r := rand.NewChaCha8([32]byte{1})
			for range 50 {
				conn := s.inside(t, 1+int(r.Uint64()%2))
				noise := make([]byte, r.Uint64()%4096)
				_, _ = r.Read(noise)
				_, _ = conn.Write(noise)
				_ = conn.Close()
			}
			return wasClosed
		}, wasClosed, ""},
		{"more connections than a member may have", func(t testing.TB, s *siege) string {
			for range 64 {
				defer func(c *tls.Conn) { _ = c.Close() }(s.inside(t, bulk))
			}
			conn := tls.Client(s.dial(t), s.mallory.ClientTLS(s.machine, time.Now))
			require.NoError(t, conn.Handshake())
			_, _ = conn.Write(helloOf(s, s.mallory.Machine(), bulk))
			return heard(conn)
		}, "busy", "busy"},
	}
}

// slow are attacks that take their time.
func slow() []attack {
	open := openOf(2, map[int]any{1: "slow", 2: 0})
	chunk := frameOf(chunkFrame, make([]byte, 37+1<<20))[:5+37]
	binary.BigEndian.PutUint32(chunk[5:], 1<<20)
	return []attack{
		{"a byte a second for a handshake", func(t testing.TB, s *siege) string {
			return drip(t, s.dial(t), []byte("\x16\x03\x01\x01\x00\x01"), 10*time.Second)
		}, wasClosed, "too slow"},
		{"a byte a second of a call", drips(control, announce(callFrame, 1<<20)), wasClosed, ""},
		{"a byte a second of a chunk", drips(bulk, open, chunk), wasClosed, ""},
		{"a byte a second of HTTP", func(t testing.TB, s *siege) string {
			conn, err := net.DialTimeout("tcp", s.target.Daemon(t).HTTP, time.Minute)
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			return drip(t, conn, []byte("GET / HTTP/1.1\r\nX: "), 10*time.Second)
		}, wasClosed, ""},
	}
}

// revoke shuts mallory out: every node refuses it within a minute, and drops the
// connections that it has.
func (s *siege) revoke(t *testing.T) {
	open := s.inside(t, control)
	s.target.Run(t, "nodes", "revoke", "--yes", "mallory").OK(t)
	for _, n := range s.ring.Nodes {
		own, err := trust.LoadIdentity(filepath.Join(n.Home, "member"))
		require.NoError(t, err)
		at := *s
		at.addr, at.machine = n.Daemon(t).Listen, own.Machine()
		proctest.Eventually(t, time.Minute, func() error {
			conn := tls.Client(at.dial(t), s.mallory.ClientTLS(at.machine, time.Now))
			defer func() { _ = conn.Close() }()
			if err := conn.Handshake(); err != nil {
				return err
			}
			_, _ = conn.Write(helloOf(s, s.mallory.Machine(), control))
			var head [5]byte
			if _, err := io.ReadFull(conn, head[:]); err != nil || head[0] != errorFrame {
				return fmt.Errorf("%s says frame %d to a member that was revoked: %w", n.Name, head[0], err)
			}
			why := heard(conn)
			t.Log(n.Name, why)
			require.Contains(t, why, "revoked")
			return nil
		})
	}
	t.Log(heard(open))
}
