package transfer

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// joinLimit bounds a join, which may be passed on to the issuer.
const joinLimit = 20 * time.Second

// joiner is a machine that wants to become a member, with its request.
type joiner struct {
	*wire
	pub ed25519.PublicKey
	req []byte
}

// newJoiner reads the request: nothing else is served on a joiner's connection.
func newJoiner(w *wire) (*joiner, error) {
	pub, err := trust.JoinerKey(w.tls.ConnectionState())
	if err != nil {
		return nil, err
	}
	t, n, err := readHeader(w.r)
	if err != nil {
		return nil, noEOF(err)
	}
	if t != frameJoin {
		return nil, fmt.Errorf("%w: frame of type %d from a joiner", ErrProtocol, t)
	}
	req, err := w.payload(n)
	return &joiner{wire: w, pub: pub, req: req}, err
}

// serveJoin answers one joiner. Few are answered at once.
func (e *Endpoint) serveJoin(ctx context.Context, w *joiner) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	defer context.AfterFunc(ctx, w.close)()
	var reply []byte
	var err error
	select {
	case e.door.joins <- struct{}{}:
		reply, err = e.cfg.Join(ctx, w.pub, w.req)
		<-e.door.joins
	default:
		err = fmt.Errorf("%w: too many machines want to join", ErrBusy)
	}
	if err != nil {
		_ = w.writeFrame(frameError, e.codes.encode(err)) // it is refused either way
		return fmt.Errorf("join: %w", err)
	}
	return w.writeFrame(frameJoinReply, reply)
}

// JoinRing lets the machine of key into the ring that invited it, under a label and
// with a number of virtual nodes, and returns it as a member with the set of
// members it was told. The secret is shown to nobody who does not chain to the
// token's root. Dial and now may be nil: a net.Dialer, time.Now. The errors are
// those of the trust package and [ErrUnreachable].
func JoinRing(ctx context.Context, token trust.Token, key ed25519.PrivateKey, label string, vnodes int,
	dial DialFunc, now func() time.Time,
) (*trust.Identity, *trust.Members, error) {
	cfg := Config{Dial: dial, Now: now}
	cfg.setDefaults()
	var errs []error
	for _, addr := range token.Addrs {
		reply, err := askToJoin(ctx, cfg, addr, token, key, trust.JoinRequest{Secret: token.Secret, Label: label, Vnodes: vnodes})
		if err == nil {
			return token.Accept(key, reply)
		}
		errs = append(errs, fmt.Errorf("join through %s: %w", addr, err))
		var remote *RemoteError
		if errors.As(err, &remote) && remote.Unwrap() != nil && !isAny(err, ErrUnreachable, ErrBusy) || ctx.Err() != nil {
			break // an answer, and it would be the same elsewhere
		}
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%w: the token names no address", ErrUnreachable))
	}
	return nil, nil, errors.Join(errs...)
}

// askToJoin asks at one address.
func askToJoin(ctx context.Context, cfg Config, addr string, token trust.Token, key ed25519.PrivateKey, req trust.JoinRequest) ([]byte, error) {
	tlsConfig, err := trust.JoinTLS(key, token, cfg.Now)
	if err != nil {
		return nil, err
	}
	dialCtx, cancelDial := context.WithTimeout(ctx, cfg.Handshake)
	defer cancelDial()
	raw, err := cfg.Dial(dialCtx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = raw.Close() }()
	stopDial := context.AfterFunc(dialCtx, func() { _ = raw.Close() })
	conn := tls.Client(raw, tlsConfig)
	if err := conn.Handshake(); err != nil {
		return nil, handshakeError(err)
	}
	stopDial()
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	w := newWire(raw, conn, joinLimit)
	if err := w.writeFrame(frameJoin, req.Encode()); err != nil {
		return nil, handshakeError(err)
	}
	t, n, err := readHeader(w.r)
	if err != nil {
		return nil, handshakeError(noEOF(err))
	}
	payload, err := w.payload(n)
	if err != nil {
		return nil, handshakeError(err)
	}
	switch t {
	case frameJoinReply:
		return payload, nil
	case frameError:
		return nil, codes(builtin).decode(payload)
	}
	return nil, fmt.Errorf("%w: frame of type %d for a joiner", ErrProtocol, t)
}
