package transfer

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// MachineID names a machine: the SHA-256 of its raw ed25519 public key.
type MachineID = [32]byte

// Peer is a machine to call. A zero Machine is any member that answers at one of
// the addresses (host:port), which are tried in order.
type Peer struct {
	Machine MachineID
	Addrs   []string
}

// Remote is the authenticated other side.
type Remote struct {
	Machine MachineID
	Addr    string // as seen on this connection, host:port
	Label   string // of its certificate
	Version string // of its software, by its own account
	// Certificate is what it has shown; its key, place on the ring and issuers are
	// proved, and it was valid when the connection was made.
	Certificate *trust.Certificate
}

// Handler serves peers. Its methods are called concurrently.
type Handler interface {
	// Call answers one request. The payload belongs to the handler; decode it with
	// [Unmarshal]. The reply is encoded as CBOR; an error goes back with its code.
	// ctx ends with the caller's deadline, its cancellation or its connection.
	Call(ctx context.Context, from Remote, kind uint16, payload []byte) (any, error)

	// Stream serves one stream until it returns: nil ends the stream cleanly, an
	// error is sent to the peer with its code. The stream is not to be used
	// afterwards. ctx ends when the peer is lost or has given up.
	Stream(ctx context.Context, from Remote, kind uint16, header []byte, s *Stream) error
}

// JoinedHandler is what a [Handler] may be as well, for kinds of calls of which many
// together cost less than each by itself.
type JoinedHandler interface {
	// CallJoined answers calls of one kind that came in one message, in their order;
	// false: the kind is none of those, and each is answered by Call.
	CallJoined(ctx context.Context, from Remote, kind uint16, payloads [][]byte) ([]Answer, bool)
}

// Answer is what Call would have returned.
type Answer struct {
	Value any
	Err   error
}

// JoinHandler answers the encoded join request of the machine whose key is pub, as
// an issuer does with [trust.Authority.Admit].
type JoinHandler func(ctx context.Context, pub ed25519.PublicKey, req []byte) ([]byte, error)

// DialFunc opens a connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Config says what an endpoint is made of. Identity and Handler are needed, the
// rest has defaults.
type Config struct {
	Identity *trust.Identity
	Handler  Handler
	Version  string      // of the software, told to peers
	Join     JoinHandler // nil: nobody is let in here
	Dial     DialFunc    // nil: a net.Dialer
	// Issuer tells where joiners are passed on to who want a certain issuer, or any
	// if it is zero: no address means that Join is for them. Nil: it always is.
	Issuer func(MachineID) (addrs []string, err error)
	// Check refuses machines that are no members any more; its error is told to
	// them. It is asked once for a connection. Nil: none are refused.
	Check  func(*trust.Certificate) error
	Errors []CodedError // errors of the handler that keep their identity on the wire
	Logger *slog.Logger // nil: nothing is logged
	// Now is the clock that certificates are checked by. Nil: time.Now. Everything
	// else is timed by package time.
	Now func() time.Time

	// Handshake bounds the time from a connection to the end of its hello. Longer
	// forgives slow links, shorter frees the places of strangers sooner. 5 s.
	Handshake time.Duration
	// Ping is how long a peer that owes an answer may be silent before it is asked
	// for a sign of life; as long again, and it is unreachable. 2 s.
	Ping time.Duration
	// Silence is how long a stream may be without a byte, signs of life included.
	// Both sides must use about the same: signs are sent every third of it. 15 s.
	Silence time.Duration
	// Idle is how long an unused connection is kept. 1 min.
	Idle time.Duration
	// CallTimeout bounds a call whose context has no deadline. 30 s.
	CallTimeout time.Duration
	// Stagger is how long one address of a peer is tried alone. 250 ms.
	Stagger time.Duration

	// MaxStrangers bounds the connections whose first bytes are awaited. Each takes
	// a few KiB. 512, or an eighth of the file descriptors if that is less.
	MaxStrangers int
	// MaxHandshakes bounds handshakes under way, joins included. Each takes some
	// tens of KiB. 128, or an eighth of the file descriptors if that is less. Who
	// comes to a full house of strangers takes the place of one of those of whose
	// network there are most.
	MaxHandshakes int
	// MaxConns bounds accepted connections of members. 4,096, or half of the file
	// descriptors if that is less.
	MaxConns int
	// MaxPeerConns bounds accepted connections of one machine, and so its streams:
	// each bulk connection carries one at a time. At most 4 of them are control
	// connections; of more the oldest is closed. 64.
	MaxPeerConns int
	// MaxCalls bounds calls under way on one connection. 128.
	MaxCalls int
}

// validate checks what is needed and fills in the rest.
func (c *Config) validate() error {
	if c.Identity == nil || c.Handler == nil {
		return errors.New("transfer: Identity and Handler are needed")
	}
	c.setDefaults()
	return nil
}

func (c *Config) setDefaults() {
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Check == nil {
		c.Check = func(*trust.Certificate) error { return nil }
	}
	if c.Issuer == nil {
		c.Issuer = func(MachineID) ([]string, error) { return nil, nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	orElse(&c.Handshake, 5*time.Second)
	orElse(&c.Ping, 2*time.Second)
	orElse(&c.Silence, 15*time.Second)
	orElse(&c.Idle, time.Minute)
	orElse(&c.CallTimeout, 30*time.Second)
	orElse(&c.Stagger, 250*time.Millisecond)
	files := MaxOpenFiles()
	orElse(&c.MaxStrangers, min(512, files/8))
	orElse(&c.MaxHandshakes, min(128, files/8))
	orElse(&c.MaxConns, min(4096, files/2))
	orElse(&c.MaxPeerConns, 64)
	orElse(&c.MaxCalls, 128)
}

// orElse replaces what is not positive by a default.
func orElse[T time.Duration | int](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}
