package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// link is a connection whose both sides have said hello.
type link struct {
	*wire
	remote Remote
	role   uint8
	calls  *budget // of an accepted connection: for what its machine asks
}

// attempt is the result of dialling one address.
type attempt struct {
	link *link
	err  error
}

// connect dials the addresses, each a little after the one before or as soon as
// that has failed (RFC 8305), and returns the first connection whose handshake
// and hello are done.
func (e *Endpoint) connect(ctx context.Context, addrs []string, want MachineID, role uint8) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Handshake)
	defer cancel()
	results := make(chan attempt, len(addrs))
	running, next := 0, 0
	start := func() {
		addr := addrs[next]
		next, running = next+1, running+1
		e.wg.Go(func() {
			l, err := e.dialOne(ctx, addr, want, role)
			results <- attempt{l, err}
		})
	}
	defer func() {
		losers := running
		e.wg.Go(func() {
			for range losers {
				if a := <-results; a.link != nil {
					a.link.close()
				}
			}
		})
	}()
	start()
	timer := time.NewTimer(e.cfg.Stagger)
	defer timer.Stop()
	var errs []error
	for running > 0 {
		select {
		case a := <-results:
			running--
			if a.err == nil {
				return a.link, nil
			}
			errs = append(errs, a.err)
		case <-timer.C:
		case <-ctx.Done():
			return nil, errors.Join(append(errs, fmt.Errorf("%w: no answer in time: %w", ErrUnreachable, ctx.Err()))...)
		}
		if next < len(addrs) {
			start()
			timer.Reset(e.cfg.Stagger)
		}
	}
	return nil, errors.Join(errs...)
}

// dialOne connects to one address, shakes hands and says hello.
func (e *Endpoint) dialOne(ctx context.Context, addr string, want MachineID, role uint8) (*link, error) {
	raw, err := e.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn := tls.Client(&burst{Conn: raw}, e.cfg.Identity.ClientTLS(want, e.cfg.Now))
	l, err := e.greet(newWire(raw, conn, e.cfg.Handshake), role)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: %w", addr, handshakeError(err))
	}
	l.remote.Addr = addr
	e.door.turns.meet(networkOf(raw.RemoteAddr())) // it may call back
	return l, nil
}

// greet does the dialling side's part of TLS and hello.
func (e *Endpoint) greet(w *wire, role uint8) (*link, error) {
	if err := w.tls.Handshake(); err != nil {
		return nil, err
	}
	cert, err := e.cfg.Identity.Peer(w.tls.ConnectionState())
	if err != nil {
		return nil, err
	}
	if err := e.cfg.Check(cert); err != nil {
		return nil, err
	}
	peer, err := e.hello(role).exchange(w, e.codes, cert.Machine)
	if err != nil {
		return nil, err
	}
	w.frameLimit = e.cfg.Silence
	return &link{wire: w, role: role, remote: Remote{Machine: cert.Machine, Label: cert.Label, Version: peer.Version, Certificate: cert}}, nil
}

// noProtocol is the alert of a side that speaks none of the protocols offered (RFC 7301).
const noProtocol = tls.AlertError(120)

// handshakeError tells apart who refused whom, and that nobody answered.
func handshakeError(err error) error {
	var alert *net.OpError
	var remote *RemoteError
	switch {
	case errors.As(err, &remote), isAny(err, trust.ErrForeign, trust.ErrCertificate, trust.ErrClock,
		trust.ErrWrongMachine, trust.ErrRevoked, trust.ErrDeparted,
		ErrIncompatible, ErrProtocol, ErrTooLarge, ErrDenied, ErrUnreachable):
		return err
	case errors.As(err, &alert) && alert.Op == "remote error" && alert.Err.Error() == noProtocol.Error():
		return fmt.Errorf("%w: the other side speaks another version of the protocol", ErrIncompatible)
	case errors.As(err, &alert) && alert.Op == "remote error": // as crypto/tls calls an alert
		return fmt.Errorf("%w: the other side does not accept this machine's certificate: %w", ErrDenied, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
