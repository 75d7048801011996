package transfer

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// joinTo is the first frame of a joiner: to whom it wants to speak.
type joinTo struct {
	Issuer MachineID `cbor:"1,keyasint"` // zero: any issuer
}

// joinVia answers it.
type joinVia struct {
	// Relayed: this side is not the one. What follows on the connection goes to the
	// issuer as it is and comes from there: the joiner shakes hands once more,
	// within, and this side sees nothing of what is said.
	Relayed bool `cbor:"1,keyasint"`
}

// JoinRing lets the machine of key into the ring that invited it, under a label and
// with a number of virtual nodes, and returns it as a member with the set of
// members it was told. The secret is shown to the issuer of the token only, which
// other members pass the connection on to. Dial and now may be nil: a net.Dialer,
// time.Now. The errors are those of the trust package, [ErrIncompatible] and
// [ErrUnreachable], with the reason for each address.
func JoinRing(ctx context.Context, token trust.Token, key ed25519.PrivateKey, label string, vnodes int,
	dial DialFunc, now func() time.Time,
) (*trust.Identity, *trust.Members, error) {
	cfg := Config{Dial: dial, Now: now}
	cfg.setDefaults()
	tlsConfig, err := trust.JoinTLS(key, token, cfg.Now)
	if err != nil {
		return nil, nil, err
	}
	a := applicant{
		cfg: cfg, tls: tlsConfig, issuer: token.Issuer, check: token.CheckIssuer,
		request: trust.JoinRequest{Secret: token.Secret, Label: label, Vnodes: vnodes},
	}
	reply, err := a.askAll(ctx, token.Addrs)
	if err != nil {
		return nil, nil, err
	}
	return token.Accept(key, reply)
}

// Renew asks an issuer, or any if it is zero, at the addresses for a new
// certificate, and returns the encoded reply; see [trust.Identity.AcceptRenewal].
// The present certificate may have ended: only the key counts.
func (e *Endpoint) Renew(ctx context.Context, issuer MachineID, addrs []string) ([]byte, error) {
	tlsConfig, err := e.cfg.Identity.RenewTLS(e.cfg.Now)
	if err != nil {
		return nil, err
	}
	a := applicant{cfg: e.cfg, tls: tlsConfig, issuer: issuer, request: trust.JoinRequest{Renew: true}}
	return a.askAll(ctx, addrs)
}

// applicant is a machine that asks for a certificate.
type applicant struct {
	cfg     Config
	tls     *tls.Config
	issuer  MachineID
	check   func(tls.ConnectionState) error // of whoever is about to see the request; nil: anybody may
	request trust.JoinRequest
}

// askAll asks at one address after the other, until one has an answer that would be
// the same elsewhere.
func (a applicant) askAll(ctx context.Context, addrs []string) ([]byte, error) {
	var errs []error
	for _, addr := range addrs {
		reply, err := a.ask(ctx, addr)
		if err == nil {
			return reply, nil
		}
		errs = append(errs, fmt.Errorf("through %s: %w", addr, err))
		var remote *RemoteError
		if errors.As(err, &remote) && remote.Unwrap() != nil && !isAny(err, ErrUnreachable, ErrBusy) || ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%w: no address is known", ErrUnreachable))
	}
	return nil, errors.Join(errs...)
}

// ask asks at one address, or where that passes the connection on to.
func (a applicant) ask(ctx context.Context, addr string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	dialCtx, cancelDial := context.WithTimeout(ctx, a.cfg.Handshake)
	defer cancelDial()
	raw, err := a.cfg.Dial(dialCtx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = raw.Close() }()
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	w, relayed, err := a.enter(dialCtx, raw)
	if err == nil && relayed {
		innerCtx, cancelInner := context.WithTimeout(ctx, a.cfg.Handshake)
		defer cancelInner()
		if w, relayed, err = a.enter(innerCtx, tunnel{w}); err == nil && relayed {
			err = fmt.Errorf("%w: passed on twice", ErrProtocol)
		}
	}
	if err == nil && a.check != nil {
		err = a.check(w.tls.ConnectionState())
	}
	if err == nil {
		err = w.writeFrame(frameJoin, a.request.Encode())
	}
	if err != nil {
		return nil, handshakeError(err)
	}
	return joinAnswer(w, frameJoinReply)
}

// enter shakes hands and says whom it wants to speak to.
func (a applicant) enter(ctx context.Context, raw net.Conn) (w *wire, relayed bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn := tls.Client(raw, a.tls)
	err = conn.Handshake()
	if !stop() {
		err = fmt.Errorf("%w: no answer in time", ErrUnreachable)
	}
	if err != nil {
		return nil, false, handshakeError(err)
	}
	w = newWire(raw, conn, joinLimit)
	if err := w.writeFrame(frameJoinTo, mustMarshal(joinTo{a.issuer})); err != nil {
		return nil, false, handshakeError(err)
	}
	payload, err := joinAnswer(w, frameJoinVia)
	if err != nil {
		return nil, false, err
	}
	var via joinVia
	err = Unmarshal(payload, &via)
	return w, via.Relayed, err
}

// joinAnswer reads the frame that a joiner waits for.
func joinAnswer(w *wire, want frameType) ([]byte, error) {
	t, n, err := readHeader(w.r)
	if err != nil {
		return nil, handshakeError(noEOF(err))
	}
	payload, err := w.payload(n)
	if err != nil {
		return nil, handshakeError(err)
	}
	switch t {
	case want:
		return payload, nil
	case frameError:
		return nil, codes(builtin).decode(payload)
	}
	return nil, fmt.Errorf("%w: frame of type %d for a joiner", ErrProtocol, t)
}

// tunnel is what goes through a relay, as a connection. Closing it, and its
// deadlines, are those of the connection to the relay.
type tunnel struct{ w *wire }

func (t tunnel) Read(p []byte) (int, error)         { return t.w.r.Read(p) }
func (t tunnel) Write(p []byte) (int, error)        { return wireWriter{t.w}.Write(p) }
func (t tunnel) Close() error                       { return t.w.raw.Close() }
func (t tunnel) LocalAddr() net.Addr                { return t.w.raw.LocalAddr() }
func (t tunnel) RemoteAddr() net.Addr               { return t.w.raw.RemoteAddr() }
func (t tunnel) SetDeadline(d time.Time) error      { return t.w.raw.SetDeadline(d) }
func (t tunnel) SetReadDeadline(d time.Time) error  { return t.w.raw.SetReadDeadline(d) }
func (t tunnel) SetWriteDeadline(d time.Time) error { return t.w.raw.SetWriteDeadline(d) }
