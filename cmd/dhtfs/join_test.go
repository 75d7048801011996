//go:build unix

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/proctest"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// later makes a ring in this process whose clock is wrong by skew, and returns a
// token for it.
func later(t *testing.T, skew time.Duration) string {
	t.Helper()
	now := func() time.Time { return time.Now().Add(skew) }
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	authority, err := trust.CreateRing("later", 3, 2, 2, key, now())
	require.NoError(t, err)
	chain, err := authority.Issue(key.Public().(ed25519.PublicKey), "later", 1, nil, now())
	require.NoError(t, err)
	id, err := trust.NewIdentity(key, chain)
	require.NoError(t, err)
	invites, err := trust.LoadInvites("")
	require.NoError(t, err)
	endpoint, err := transfer.New(transfer.Config{
		Identity: id, Handler: mute{}, Now: now,
		Join: func(_ context.Context, pub ed25519.PublicKey, req []byte) ([]byte, error) {
			return authority.Admit(invites, trust.NewMembers(authority.Root()), pub, req, now())
		},
	})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- endpoint.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
		assert.NoError(t, endpoint.Close())
	})
	token, err := invites.Create(authority, []string{ln.Addr().String()}, 24*time.Hour, 1, now())
	require.NoError(t, err)
	token.Expires = time.Now().Add(time.Hour).Unix() // it is the certificate that is to be refused
	return token.String()
}

// mute serves no member.
type mute struct{}

func (mute) Call(context.Context, transfer.Remote, uint16, []byte) (any, error) {
	return nil, transfer.ErrProtocol
}

func (mute) Stream(context.Context, transfer.Remote, uint16, []byte, *transfer.Stream) error {
	return transfer.ErrProtocol
}

// otherVersion listens like a node whose join protocol this one does not know.
func otherVersion(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	authority, err := trust.CreateRing("x", 3, 2, 2, key, time.Now())
	require.NoError(t, err)
	chain, err := authority.Issue(key.Public().(ed25519.PublicKey), "x", 1, nil, time.Now())
	require.NoError(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}}, NextProtos: []string{"dhtfs-join/9"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake() // which fails
			_ = conn.Close()
		}
	}()
	return ln.Addr().String()
}

// at is a token with other addresses.
func at(t *testing.T, line string, addrs ...string) string {
	t.Helper()
	token, err := trust.ParseToken(line, time.Now())
	require.NoError(t, err)
	token.Addrs = addrs
	return token.String()
}

// Each way in which joining can fail has its own message, hint and exit code.
func TestJoinRefusals(t *testing.T) {
	ring, foreign := proctest.NewRing(t, 2), proctest.NewRing(t, 1)
	issuer, member := ring.Nodes[0], ring.Nodes[1]
	invite := func(args ...string) string {
		line := issuer.Run(t, append([]string{"invite", "--print", "token"}, args...)...).OK(t).Stdout
		return strings.TrimSpace(string(line))
	}
	good := invite("--uses", "2")
	guest := &proctest.Node{Name: "guest", Home: t.TempDir()}
	through := at(t, good, member.Daemon(t).Listen)
	proctest.Start(t, strings.NewReader(through), nil, guest.Args("join", "-", "--listen", "127.0.0.1:0", "--http", "off", "--name", "guest")...).Wait(t).OK(t)
	guest.Run(t, "logout").OK(t)

	used, revoked := invite(), invite()
	once := &proctest.Node{Name: "once", Home: t.TempDir()}
	proctest.Start(t, strings.NewReader(used), nil, once.Args("join", "-", "--listen", "127.0.0.1:0", "--http", "off")...).Wait(t).OK(t)
	once.Run(t, "logout").OK(t)
	var list struct {
		Invites []struct {
			ID      string
			Uses    int
			Revoked bool
		}
	}
	issuer.Run(t, "invite", "ls", "--json").OK(t).JSON(t, &list)
	for _, i := range list.Invites {
		if i.Uses == 1 && i.ID != list.Invites[0].ID {
			issuer.Run(t, "invite", "revoke", i.ID).OK(t)
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := closed.Addr().String()
	require.NoError(t, closed.Close())

	for name, c := range map[string]struct {
		code  int
		id    string
		token string
		says  []string
	}{
		"mangled":                {2, "bad_token", strings.Replace(good, good[40:44], "AAAA", 1), []string{"cut short or mangled"}},
		"no token":               {2, "bad_token", "hello", []string{"does not begin"}},
		"expired":                {6, "invite_expired", invite("--ttl", "1ms"), []string{"expired"}},
		"used":                   {6, "invite_used", used, []string{"used"}},
		"revoked":                {6, "invite_revoked", revoked, []string{"revoked"}},
		"of another ring":        {6, "foreign", at(t, good, foreign.Nodes[0].Daemon(t).Listen), []string{"not the one the invite names"}},
		"nobody answers":         {11, "unreachable", at(t, good, nobody, "127.0.0.1:1"), []string{nobody, "127.0.0.1:1", "refused"}},
		"another version":        {12, "incompatible", at(t, good, otherVersion(t)), []string{"version"}},
		"a clock that is ahead":  {6, "clock", later(t, 5*24*time.Hour), []string{"clock", "4 days earlier"}},
		"a clock that is behind": {6, "clock", later(t, -100*24*time.Hour), []string{"clock", "10 days later"}},
		"a secret that is nobody": {6, "invite_unknown", func() string {
			token, err := trust.ParseToken(good, time.Now())
			require.NoError(t, err)
			token.Secret[0] ^= 1
			return token.String()
		}(), []string{"unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			home := filepath.Join(t.TempDir(), "home")
			refuse(t, c.code, c.id, c.token, "--home", home, "join", "-")
			result := proctest.Start(t, strings.NewReader(c.token), nil, "--home", home, "join", "-").Wait(t)
			for _, text := range c.says {
				assert.Contains(t, string(result.Stderr), text)
			}
		})
	}
}

// A member that is revoked is out within a minute, everywhere, and says so itself.
// The ring goes on without the machine that started it.
func TestRevokePromoteForget(t *testing.T) {
	ring := proctest.NewRing(t, 4)
	first, second, third, stolen := ring.Nodes[0], ring.Nodes[1], ring.Nodes[2], ring.Nodes[3]
	refuse(t, 6, "not_issuer", "", second.Args("nodes", "promote", third.Name)...)
	refuse(t, 4, "no_such_node", "", first.Args("nodes", "promote", "nobody")...)
	refuse(t, 1, "node_alive", "", first.Args("nodes", "forget", "--yes", third.Name)...)
	refuse(t, 2, "usage", "", first.Args("nodes", "revoke", third.Name)...)
	refuse(t, 6, "other_issuer_needed", "", first.Args("nodes", "revoke", "--yes", first.Name)...)
	first.Run(t, "nodes", "promote", second.Name).OK(t)
	proctest.Eventually(t, time.Minute, func() error {
		_, err := second.Try(t, "invite", "ls")
		return err
	})

	pid := stolen.Daemon(t).PID
	first.Run(t, "nodes", "revoke", "--yes", stolen.Name).OK(t)
	stolen.WaitEnded(t, pid)
	refuse(t, 6, "revoked", "", stolen.Args("up")...)
	members := func(by *proctest.Node, want int) {
		proctest.Eventually(t, time.Minute, func() error { return by.CountsMembers(t, want) })
	}
	for _, n := range ring.Except(stolen) {
		members(n, 3)
	}

	first.Kill(t)
	first.Lose(t)
	second.Run(t, "nodes", "forget", "--yes", first.Name).OK(t)
	members(third, 2)
	line := string(second.Run(t, "invite", "--print", "token").OK(t).Stdout)
	late := &proctest.Node{Name: "late", Home: t.TempDir()}
	ring.Nodes = append(ring.Nodes, late) // to be ended with it
	proctest.Start(t, strings.NewReader(line), nil, late.Args("join", "-", "--listen", "127.0.0.1:0", "--http", "off", "--name", "late")...).Wait(t).OK(t)
	members(third, 3)
	var doc struct {
		Nodes []struct {
			Name   string
			Issuer bool
		}
	}
	require.NoError(t, json.Unmarshal(late.Run(t, "nodes", "--json").OK(t).Stdout, &doc))
	for _, n := range doc.Nodes {
		assert.Equal(t, n.Name == second.Name, n.Issuer, n.Name)
	}
}
