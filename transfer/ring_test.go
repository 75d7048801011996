package transfer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/memnet"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// handler is a Handler made of functions.
type handler struct {
	call   func(ctx context.Context, from Remote, kind uint16, payload []byte) (any, error)
	stream func(ctx context.Context, from Remote, kind uint16, header []byte, s *Stream) error
}

func (h handler) Call(ctx context.Context, from Remote, kind uint16, payload []byte) (any, error) {
	return h.call(ctx, from, kind, payload)
}

func (h handler) Stream(ctx context.Context, from Remote, kind uint16, header []byte, s *Stream) error {
	return h.stream(ctx, from, kind, header, s)
}

// echo answers calls with what they ask.
var echo = handler{
	call: func(_ context.Context, _ Remote, _ uint16, payload []byte) (any, error) {
		var v []byte
		err := Unmarshal(payload, &v)
		return v, err
	},
}

var errTest = errors.New("test error")

// ring makes members of one ring and serves them on an in-memory network.
type ring struct {
	tb    testing.TB
	auth  *trust.Authority
	first *trust.Identity // of the issuer's machine
	net   *memnet.Network
}

func newKey(tb testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(tb, err)
	return key
}

func newRing(tb testing.TB) *ring {
	key := newKey(tb)
	auth, err := trust.CreateRing("test", 3, 2, 2, key, time.Now())
	require.NoError(tb, err)
	chain, err := auth.Issue(key.Public().(ed25519.PublicKey), "first", 1, nil, time.Now())
	require.NoError(tb, err)
	first, err := trust.NewIdentity(key, chain)
	require.NoError(tb, err)
	return &ring{tb: tb, auth: auth, first: first, net: memnet.New(1)}
}

func (r *ring) identity(label string) *trust.Identity {
	key := newKey(r.tb)
	chain, err := r.auth.Issue(key.Public().(ed25519.PublicKey), label, 1, nil, time.Now())
	require.NoError(r.tb, err)
	id, err := trust.NewIdentity(key, chain)
	require.NoError(r.tb, err)
	return id
}

// member is a node of the ring: an endpoint and the address it serves at.
type member struct {
	*Endpoint
	host     string
	peer     Peer
	accepted *atomic.Int64 // connections
	stop     func()        // serving
}

// countingListener counts what it accepts.
type countingListener struct {
	net.Listener
	n *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

// start adds a member on the host of its label and serves until the test ends.
func (r *ring) start(label string, h Handler, change func(*Config)) *member {
	r.tb.Helper()
	cfg := Config{
		Identity: r.identity(label), Handler: h, Version: "test",
		Dial: r.net.Dialer(label), Errors: []CodedError{{FirstCode, errTest}},
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg)
	require.NoError(r.tb, err)
	m := &member{Endpoint: e, host: label, accepted: new(atomic.Int64)}
	m.peer = Peer{Machine: cfg.Identity.Machine(), Addrs: []string{label + ":1"}}
	r.serve(m)
	r.tb.Cleanup(func() { require.NoError(r.tb, e.Close()) })
	return m
}

// serve starts serving, again after the host was killed.
func (r *ring) serve(m *member) {
	r.tb.Helper()
	ln, err := r.net.Listen(m.host + ":1")
	require.NoError(r.tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, countingListener{ln, m.accepted}) }()
	stopped := false
	m.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; !errors.Is(err, net.ErrClosed) { // the listener of a host that went down is closed
				require.NoError(r.tb, err)
			}
		}
	}
	r.tb.Cleanup(m.stop)
}
