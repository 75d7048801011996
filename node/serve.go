package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// wireErrors are this package's errors as they cross the wire. The numbers are
// append only.
func wireErrors() []transfer.CodedError {
	return []transfer.CodedError{
		{Code: 100, Err: ErrNotFound},
		{Code: 101, Err: ErrExists},
		{Code: 102, Err: ErrOutcome},
		{Code: 104, Err: ErrTooFew},
		{Code: 105, Err: ErrNotIssuer},
		{Code: 106, Err: ErrInterrupted},
		{Code: 107, Err: ErrLeaving},
		{Code: 108, Err: ErrBadRange},
		{Code: 109, Err: ErrBadOption},
		{Code: 110, Err: ErrNotReady},
		{Code: 111, Err: ErrLastMember},
		{Code: 120, Err: filestore.ErrBadName},
		{Code: 121, Err: filestore.ErrCollision},
		{Code: 122, Err: filestore.ErrNoSpace},
		{Code: 123, Err: filestore.ErrCorrupt},
		{Code: 124, Err: filestore.ErrDegraded},
		{Code: 125, Err: filestore.ErrNotFound},
		{Code: 103, Err: ErrUnavailable}, // last: it often wraps one of the others
	}
}

// handler serves the other nodes.
type handler struct{ n *Node }

// Call implements transfer.Handler.
func (h handler) Call(ctx context.Context, from transfer.Remote, kind uint16, payload []byte) (any, error) {
	n := h.n
	switch kind {
	case callRing:
		return serve(payload, func(r chord.Request) (any, error) {
			if !isPosition(from.Certificate, r.From) {
				return nil, fmt.Errorf("%w: a ring message in another position's name", transfer.ErrDenied)
			}
			return n.ring.Handle(ctx, r)
		})
	case callMembersSum:
		return serve(payload, func(r membersSumRequest) (any, error) { return n.onMembersSum(r) })
	case callMembersDiff:
		return serve(payload, func(r membersDiffRequest) (any, error) { return n.onMembersDiff(r) })
	case callMembersTell:
		return serve(payload, func(r membersTellRequest) (any, error) { return nil, n.onMembersTell(r) })
	case callSelf:
		return n.onSelf(), nil
	case callRead:
		return serve(payload, func(r readRequest) (any, error) { return n.onReadEncoded(r) })
	case callPrepare:
		return serve(payload, func(r register.Prepare) (any, error) { return n.onPrepare(r) })
	case callAccept:
		return serve(payload, func(r register.Accept) (any, error) { return n.onAccept(ctx, r, from.Machine) })
	case callChange:
		return serve(payload, func(r changeRequest) (any, error) {
			if r.Publisher != from.Machine {
				return nil, fmt.Errorf("%w: a change in another machine's name", transfer.ErrDenied)
			}
			return n.onChange(ctx, r)
		})
	case callCopy:
		return serve(payload, func(r copyRequest) (any, error) {
			if r.Store.Publisher != from.Machine {
				return nil, fmt.Errorf("%w: a copy in another machine's name", transfer.ErrDenied)
			}
			return n.onCopy(ctx, r)
		})
	case callObtain:
		return serve(payload, func(r obtainRequest) (any, error) { return nil, n.onObtain(ctx, r, from.Machine) })
	case callKeep:
		return serve(payload, func(r keepRequest) (any, error) { return nil, n.onKeep(ctx, r, from.Machine) })
	case callHoldings:
		return serve(payload, func(r holdingsRequest) (any, error) { return n.onHoldings(r) })
	case callList:
		return serve(payload, func(r listRequest) (any, error) { return n.onList(r) })
	case callRange:
		return serve(payload, func(r rangeRequest) (any, error) { return n.onRange(r) })
	case callMembersOf:
		return serve(payload, func(r membersOfRequest) (any, error) { return n.onMembersOf(r) })
	case callFind:
		return serve(payload, func(r findRequest) (any, error) { return n.onFind(ctx, r) })
	case callForget:
		return serve(payload, func(r forgetRequest) (any, error) { return n.onForget(r) })
	case callStage:
		return serve(payload, func(r stageRequest) (any, error) { return nil, n.onStageSmall(ctx, r, from.Machine) })
	case callStore, callCreate:
		answers, _ := h.CallJoined(ctx, from, kind, [][]byte{payload})
		return answers[0].Value, answers[0].Err
	case callContent:
		return serve(payload, func(r contentRequest) (any, error) { return n.onContent(r) })
	case callReads:
		return serve(payload, func(r readsRequest) (any, error) { return n.onReads(r) })
	case callContents:
		return serve(payload, func(r contentsRequest) (any, error) { return n.onContents(ctx, r) })
	case callCompare:
		return serve(payload, func(r compareRequest) (any, error) { return n.onCompare(r, from.Machine) })
	case callLeaving:
		n.members.setLeaving(from.Machine)
		return nil, nil
	case callDegraded:
		n.members.setDegraded(from.Machine)
		return nil, nil
	}
	return nil, fmt.Errorf("%w: call of kind %d", transfer.ErrProtocol, kind)
}

// CallJoined implements transfer.JoinedHandler: for small files, whose commits are
// shared.
func (h handler) CallJoined(ctx context.Context, from transfer.Remote, kind uint16, payloads [][]byte) ([]transfer.Answer, bool) {
	switch kind {
	case callStore:
		return serveJoined(payloads, func(list []storeRequest) []transfer.Answer {
			return answersOf(h.n.onStoreSmall(ctx, list, from.Machine), func(s *creation) transfer.Answer {
				return transfer.Answer{Value: s.reply, Err: s.err}
			})
		}), true
	case callCreate:
		return serveJoined(payloads, func(list []createRequest) []transfer.Answer {
			return answersOf(h.n.onCreate(ctx, list, from.Machine), func(v voted) transfer.Answer {
				return transfer.Answer{Value: v.answer, Err: v.err}
			})
		}), true
	}
	return nil, false
}

// serveJoined decodes requests for f, which answers those that can be.
func serveJoined[T any](payloads [][]byte, f func([]T) []transfer.Answer) []transfer.Answer {
	answers := make([]transfer.Answer, len(payloads))
	list := make([]T, 0, len(payloads))
	at := make([]int, 0, len(payloads))
	for i, payload := range payloads {
		var req T
		if answers[i].Err = transfer.Unmarshal(payload, &req); answers[i].Err == nil {
			list, at = append(list, req), append(at, i)
		}
	}
	for k, a := range f(list) {
		answers[at[k]] = a
	}
	return answers
}

func answersOf[T any](results []T, answer func(T) transfer.Answer) []transfer.Answer {
	l := make([]transfer.Answer, len(results))
	for i, r := range results {
		l[i] = answer(r)
	}
	return l
}

// Stream implements transfer.Handler.
func (h handler) Stream(ctx context.Context, from transfer.Remote, kind uint16, header []byte, s *transfer.Stream) error {
	n := h.n
	var err error
	switch kind {
	case streamStore:
		_, err = serve(header, func(r storeHeader) (any, error) {
			if r.Publisher != from.Machine {
				return nil, fmt.Errorf("%w: a store in another machine's name", transfer.ErrDenied)
			}
			return nil, n.onStore(ctx, r, s)
		})
	case streamStage:
		_, err = serve(header, func(r stageHeader) (any, error) { return nil, n.onStage(ctx, r, from.Machine, s) })
	case streamFetch:
		_, err = serve(header, func(r fetchHeader) (any, error) { return nil, n.onFetch(ctx, r, s) })
	default:
		err = fmt.Errorf("%w: stream of kind %d", transfer.ErrProtocol, kind)
	}
	return err
}

// serve decodes a request for f.
func serve[T any](payload []byte, f func(T) (any, error)) (any, error) {
	var req T
	if err := transfer.Unmarshal(payload, &req); err != nil {
		return nil, err
	}
	return f(req)
}

// ringTransport carries the ring's messages.
type ringTransport struct{ n *Node }

// Call implements chord.Transport.
func (t ringTransport) Call(ctx context.Context, to chord.Peer, req chord.Request) (chord.Reply, error) {
	var reply chord.Reply
	if x, known := t.n.members.set.Get(to.Machine); known && !isPosition(&x.Certificate, to) {
		return reply, fmt.Errorf("%w: a position that is not that machine's", transfer.ErrDenied)
	}
	peer := t.n.members.peer(to.Machine)
	if len(peer.Addrs) == 0 {
		peer = transfer.Peer{Machine: to.Machine, Addrs: strings.Split(to.Addr, ",")}
	}
	err := t.n.net.Call(ctx, peer, callRing, req, &reply)
	return reply, err
}

// isPosition reports whether a place on the ring is the one that its machine's
// certificate gives it: nobody chooses its own.
func isPosition(cert *trust.Certificate, p chord.Peer) bool {
	return cert.Machine == p.Machine && slices.Contains(cert.Positions(), [20]byte(p.ID))
}

// seed makes the ring's random choices differ from machine to machine.
func seed(m MachineID) uint64 { return binary.BigEndian.Uint64(m[:8]) }
