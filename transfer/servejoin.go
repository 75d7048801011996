package transfer

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// joinLimit bounds a join, which may be passed on to the issuer.
const joinLimit = 20 * time.Second

// What goes through a relay for one joiner, at most: its request, and the answer
// with the members.
const (
	maxRelayedIn  = 64 << 10
	maxRelayedOut = 34 << 20
)

// joiner is a machine that wants to become a member, or to renew its certificate.
type joiner struct {
	*wire
	pub ed25519.PublicKey
	to  joinTo
}

// newJoiner reads whom the joiner wants to speak to: nothing else is served on a
// joiner's connection.
func newJoiner(w *wire) (*joiner, error) {
	pub, err := trust.JoinerKey(w.tls.ConnectionState())
	if err != nil {
		return nil, err
	}
	j := &joiner{wire: w, pub: pub}
	payload, err := j.read(frameJoinTo)
	if err != nil {
		return nil, err
	}
	return j, Unmarshal(payload, &j.to)
}

// read reads the one frame that is due.
func (j *joiner) read(want frameType) ([]byte, error) {
	t, n, err := readHeader(j.r)
	if err != nil {
		return nil, noEOF(err)
	}
	if t != want {
		return nil, fmt.Errorf("%w: frame of type %d from a joiner", ErrProtocol, t)
	}
	return j.payload(n)
}

// serveJoin answers one joiner, or passes it on. Few are served at once.
func (e *Endpoint) serveJoin(ctx context.Context, j *joiner) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	defer context.AfterFunc(ctx, j.close)()
	err := fmt.Errorf("%w: too many machines want to join", ErrBusy)
	select {
	case e.door.joins <- struct{}{}:
		err = e.passJoin(ctx, j)
		<-e.door.joins
	default:
	}
	if err != nil {
		_ = j.writeFrame(frameError, e.codes.encode(err)) // it is refused either way
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

// passJoin serves a joiner here or at the issuer that it wants.
func (e *Endpoint) passJoin(ctx context.Context, j *joiner) error {
	addrs, err := e.cfg.Issuer(j.to.Issuer)
	if err != nil {
		return err
	}
	if len(addrs) > 0 {
		return e.relayJoin(ctx, j, addrs)
	}
	if err := j.writeFrame(frameJoinVia, mustMarshal(joinVia{})); err != nil {
		return err
	}
	req, err := j.read(frameJoin)
	if err != nil {
		return err
	}
	reply, err := e.cfg.Join(ctx, j.pub, req)
	if err != nil {
		return err
	}
	e.door.turns.meet(networkOf(j.raw.RemoteAddr()))
	return j.writeFrame(frameJoinReply, reply)
}

// relayJoin connects a joiner with the first of the addresses that answers, and
// carries their bytes until one of them ends. It does not see what they say.
func (e *Endpoint) relayJoin(ctx context.Context, j *joiner, addrs []string) error {
	var out net.Conn
	var err error
	for _, addr := range addrs {
		dialCtx, cancel := context.WithTimeout(ctx, e.cfg.Handshake/2) // the joiner is waiting
		out, err = e.cfg.Dial(dialCtx, "tcp", addr)
		cancel()
		if err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%w: the issuer does not answer: %w", ErrUnreachable, err)
	}
	defer func() { _ = out.Close() }()
	defer context.AfterFunc(ctx, func() { _ = out.Close() })()
	if err := j.writeFrame(frameJoinVia, mustMarshal(joinVia{Relayed: true})); err != nil {
		return err
	}
	j.readWithin(joinLimit)
	there := make(chan struct{})
	go func() {
		defer close(there)
		_, _ = io.Copy(out, io.LimitReader(tunnel{j.wire}, maxRelayedIn)) // either end closes both
		_ = out.Close()
	}()
	_, _ = io.Copy(tunnel{j.wire}, io.LimitReader(out, maxRelayedOut))
	j.close()
	<-there
	return nil
}
