package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Serve accepts connections until ctx ends, then closes the listener and every
// connection it accepted, and returns nil when their goroutines have ended. It may
// be called for several listeners at once. Any other error is the listener's.
func (e *Endpoint) Serve(ctx context.Context, ln net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	var pause time.Duration
	for {
		raw, err := ln.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		default: // out of file descriptors, say: some will come back
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			e.door.relieve()
			if e.dry.Allow() {
				e.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "accept failed", slog.Any("err", err), slog.Duration("pause", pause))
			}
			wait(ctx, pause)
			continue
		}
		pause = 0
		visit, away := context.WithTimeout(ctx, e.cfg.Handshake)
		s := e.door.waiting.enter(raw, away)
		conns.Go(func() { e.accept(ctx, visit, s) })
	}
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// complain logs what strangers can cause, at a limited rate.
func (e *Endpoint) complain(msg string, attrs ...slog.Attr) {
	if e.noise.Allow() {
		e.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, msg, attrs...)
	}
}

// accept serves one connection from its first byte to its end. It is a stranger's
// at most until visit ends.
func (e *Endpoint) accept(ctx, visit context.Context, s *stranger) {
	raw := s.conn
	defer s.away()
	defer func() { _ = raw.Close() }()
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	l, err := e.admit(ctx, visit, s)
	if err == nil && l == nil {
		return // a joiner, who was served
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			e.complain("connection refused", slog.String("peer", raw.RemoteAddr().String()), slog.Any("err", err))
		}
		return
	}
	defer e.door.leave(l)
	if l.role == roleControl {
		err = e.serveControl(ctx, l)
	} else {
		err = e.serveBulk(ctx, l)
	}
	e.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "connection ended",
		slog.String("peer", l.remote.Addr), slog.Any("err", err))
}

// Why a stranger's connection was closed.
var (
	errSlow   = errors.New("too slow")
	errPushed = errors.New("made room for others")
)

// admit makes a member's link of a stranger's connection, before visit ends. A
// joiner is served here and gives no link.
func (e *Endpoint) admit(ctx, visit context.Context, s *stranger) (*link, error) {
	stay := context.AfterFunc(visit, func() { _ = s.conn.Close() })
	l, join, err := e.greeted(visit, s)
	stay()
	switch {
	case err != nil && errors.Is(visit.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: no member within %v: %w", errSlow, e.cfg.Handshake, err)
	case err != nil:
		return nil, err
	case join != nil:
		return nil, e.serveJoin(ctx, join)
	}
	e.door.turns.meet(s.network)
	return l, nil
}

// greeted waits for the first bytes and shakes hands, each in its own crowd.
func (e *Endpoint) greeted(visit context.Context, s *stranger) (*link, *joiner, error) {
	first, err := readClientHello(s.conn)
	if err != nil {
		err = fmt.Errorf("first bytes: %w", err)
	} else {
		err = e.door.turns.wait(visit, s.network)
	}
	if e.door.waiting.leave(s) {
		return nil, nil, errPushed
	}
	if err != nil {
		return nil, nil, err
	}
	s = e.door.shaking.enter(s.conn, s.away)
	l, join, err := e.shake(s.conn, first)
	if e.door.shaking.leave(s) && err != nil {
		err = fmt.Errorf("%w: %w", errPushed, err)
	}
	return l, join, err
}

// shake does the accepting side's part of TLS and hello. A member that is refused
// is told why. The result is a member's link or a joiner with its request.
func (e *Endpoint) shake(raw net.Conn, first []byte) (*link, *joiner, error) {
	conn := tls.Server(&burst{Conn: &replayed{Conn: raw, first: first}}, e.cfg.Identity.ServerTLS(e.cfg.Join != nil))
	if err := conn.Handshake(); err != nil {
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	w := newWire(raw, conn, e.cfg.Handshake)
	state := conn.ConnectionState()
	if state.NegotiatedProtocol == trust.ProtocolJoin {
		j, err := newJoiner(w)
		return nil, j, err
	}
	cert, err := e.cfg.Identity.Peer(state)
	if err != nil {
		return nil, nil, err
	}
	l := &link{wire: w, remote: Remote{
		Machine: cert.Machine, Addr: raw.RemoteAddr().String(), Label: cert.Label, Certificate: cert,
	}}
	peer, err := e.readHello(w, cert)
	if err == nil {
		l.remote.Version, l.role = peer.Version, peer.Role
		err = e.door.enter(l)
	}
	if err != nil {
		_ = w.writeFrame(frameError, e.codes.encode(err)) // it is refused either way
		return nil, nil, err
	}
	if err := w.writeFrame(frameHello, mustMarshal(e.hello(peer.Role))); err != nil {
		e.door.leave(l)
		return nil, nil, err
	}
	w.frameLimit = e.cfg.Silence
	return l, nil, nil
}

// readHello reads a member's hello and decides whether it may come in.
func (e *Endpoint) readHello(w *wire, cert *trust.Certificate) (hello, error) {
	var peer hello
	t, n, err := readHeader(w.r)
	if err != nil {
		return peer, noEOF(err)
	}
	if t != frameHello {
		return peer, fmt.Errorf("%w: frame of type %d instead of a hello", ErrProtocol, t)
	}
	payload, err := w.payload(n)
	if err != nil {
		return peer, err
	}
	if err := Unmarshal(payload, &peer); err != nil {
		return peer, err
	}
	if err := cert.ValidAt(e.cfg.Now()); err != nil {
		return peer, err
	}
	if err := e.cfg.Check(cert); err != nil {
		return peer, fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return peer, e.hello(peer.Role).check(peer, cert.Machine)
}
