//go:build unix

package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// logged returns the line of a log that has part in it.
func logged(log, part string) (string, error) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, part) {
			return line, nil
		}
	}
	return "", fmt.Errorf("no line of the log says %q", part)
}

// dial opens a connection to the target.
func (s *siege) dial(t testing.TB) net.Conn {
	conn, err := net.DialTimeout("tcp", s.addr, time.Minute)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// says sends raw bytes and tells what came of it.
func says(first string) func(t testing.TB, s *siege) string {
	return func(t testing.TB, s *siege) string {
		conn := s.dial(t)
		_, err := conn.Write([]byte(first))
		require.NoError(t, err)
		start := time.Now()
		answer := heard(conn)
		assert.Less(t, time.Since(start), 30*time.Second)
		return answer
	}
}

// shakes tries a TLS handshake with any configuration, and then to say hello.
func shakes(config func(s *siege) *tls.Config) func(t testing.TB, s *siege) string {
	return func(t testing.TB, s *siege) string {
		c := config(s)
		c.InsecureSkipVerify, c.VerifyConnection = true, nil
		conn := tls.Client(s.dial(t), c)
		if err := conn.Handshake(); err != nil {
			return wasClosed + ": " + err.Error()
		}
		_, _ = conn.Write(helloOf(s, s.mallory.Machine(), 1))
		return heard(conn)
	}
}

// asksToJoin shows the target a secret, or what is none.
func asksToJoin(secret func(s *siege) [32]byte) func(t testing.TB, s *siege) string {
	return func(t testing.TB, s *siege) string {
		token := s.used
		token.Secret = secret(s)
		token.Addrs = []string{s.addr}
		_, _, err := transfer.JoinRing(t.Context(), token, newKey(t), "eve", 1, nil, nil)
		require.Error(t, err)
		return err.Error()
	}
}

// strangers are attacks of those who are no members.
func strangers() []attack {
	any13 := func(protocols ...string) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols}
	}
	return []attack{
		{"plain HTTP on the ring's port", says("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), wasClosed, "this is no TLS"},
		{"a giant TLS record", says("\x16\x03\x01\xff\xff\x01"), wasClosed, "first record of 65535 bytes"},
		{"no certificate", shakes(func(*siege) *tls.Config { return any13(trust.ProtocolMember) }), "certificate required", "didn't provide a certificate"},
		{"an old TLS", shakes(func(*siege) *tls.Config {
			return &tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{trust.ProtocolMember}}
		}), "protocol version", "unsupported versions"},
		{"a certificate of another ring", shakes(func(s *siege) *tls.Config {
			return s.foreign.ClientTLS(s.machine, time.Now)
		}), "bad certificate", "connection refused"},
		{"a joiner's certificate as a member's", shakes(func(s *siege) *tls.Config {
			c, err := trust.JoinTLS(s.key(), s.used, time.Now)
			if err != nil {
				panic(err)
			}
			c.NextProtos = []string{trust.ProtocolMember}
			return c
		}), "bad certificate", "connection refused"},
		{"a joiner that asks for other things", func(t testing.TB, s *siege) string {
			c, err := trust.JoinTLS(s.key(), s.used, time.Now)
			require.NoError(t, err)
			conn := tls.Client(s.dial(t), c)
			require.NoError(t, conn.Handshake())
			_, _ = conn.Write(helloOf(s, s.mallory.Machine(), 1))
			return heard(conn)
		}, wasClosed, "from a joiner"},
		{"an invite that nobody made", asksToJoin(func(*siege) (secret [32]byte) { return [32]byte{1} }), "invite", "refused a machine that wanted to join"},
		{"an invite used again", asksToJoin(func(s *siege) [32]byte { return s.used.Secret }), "used", "refused a machine that wanted to join"},
	}
}

// key is a key that nobody knows.
func (s *siege) key() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// drip sends first, and then a byte a second until the other side closes. It
// complains if that takes longer than limit, and some more for a busy machine.
func drip(t testing.TB, conn net.Conn, first []byte, limit time.Duration) string {
	start := time.Now()
	closed := make(chan string, 1)
	go func() { closed <- heard(conn) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	_, _ = conn.Write(first)
	for {
		select {
		case answer := <-closed:
			assert.Less(t, time.Since(start), limit+20*time.Second)
			return fmt.Sprintf("%s after %.0f s", answer, time.Since(start).Seconds())
		case <-tick.C:
			_, _ = conn.Write([]byte{0})
		}
	}
}
