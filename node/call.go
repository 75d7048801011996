package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// callTimeout bounds one control call. A machine that is down refuses at once;
// one that is paused or cut off costs this long.
const callTimeout = 3 * time.Second

// reply is one machine's answer, or the reason why there is none.
type reply[T any] struct {
	from MachineID
	is   T
	err  error
}

// ask puts a question to every machine at once and hands over the answers in
// the order they arrive. The channel has room for all of them: a caller may
// stop listening, and what was asked goes on without it. The node waits for
// stragglers before Run returns.
func ask[T any](n *Node, to []MachineID, question func(m MachineID) (T, error)) <-chan reply[T] {
	c := make(chan reply[T], len(to))
	for _, m := range to {
		if !n.tasks.run(func() {
			_ = growStack(0)
			v, err := question(m)
			c <- reply[T]{m, v, err}
		}) {
			c <- reply[T]{from: m, err: ErrLeaving}
		}
	}
	return c
}

// stackRoom is about what a question needs of its stack: CBOR and the checking of
// signatures go deep.
const stackRoom = 8 << 10

// growStack gives a new goroutine that much at once, while there is next to nothing on
// its stack. Growing bit by bit, and moving deep stacks each time, was a sixth of what
// it cost to fetch a small file. Call it first, with any number.
//
//go:noinline
func growStack(i int) byte {
	var room [stackRoom]byte
	room[i&(stackRoom-1)] = 1
	return room[(i+1)&(stackRoom-1)]
}

// askEach puts a question about each of a list at once and returns the answers
// in its order.
func askEach[Q, T any](list []Q, question func(Q) T) []T {
	answers := make([]T, len(list))
	var wg sync.WaitGroup
	for i, q := range list {
		wg.Go(func() { answers[i] = question(q) })
	}
	wg.Wait()
	return answers
}

// call is a control call to another machine, bounded by callTimeout. The
// caller's end does not end it: a change under way is better completed.
func (n *Node) call(ctx context.Context, m MachineID, kind uint16, req, resp any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	err := n.net.Call(ctx, n.members.peer(m), kind, req, resp)
	n.silence.note(m, err)
	return err
}

// votedReply is about how many bytes a voter's answer or a coordinator's has.
const votedReply = 1 << 10

// askVoter is call for what voters are asked: questions about many names at once go
// together, and their answers share a commit.
func (n *Node) askVoter(ctx context.Context, m MachineID, kind uint16, req, resp any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	err := n.net.CallJoined(ctx, n.members.peer(m), kind, req, resp, votedReply)
	n.silence.note(m, err)
	return err
}

// callVoterEach is askVoter for many questions at once, which are encoded. ctx bounds it.
func (n *Node) callVoterEach(ctx context.Context, m MachineID, kind uint16, requests [][]byte, take func(i int, answer []byte, err error)) {
	answered := false
	var last error
	n.net.CallEach(ctx, n.members.peer(m), kind, requests, votedReply, func(i int, answer []byte, err error) {
		var remote *transfer.RemoteError
		answered = answered || err == nil || errors.As(err, &remote)
		last = err
		take(i, answer, err)
	})
	if answered {
		last = nil
	}
	n.silence.note(m, last)
}

func (n *Node) sendRead(ctx context.Context, m MachineID, name string) (a register.Answer, err error) {
	if m == n.self() {
		return n.onRead(readRequest{Name: name})
	}
	var encoded encodedAnswer
	if err = n.askVoter(ctx, m, callRead, readRequest{Name: name}, &encoded); err != nil {
		return a, err
	}
	return n.answer(ctx, m, name, encoded)
}

func (n *Node) sendPrepare(ctx context.Context, m MachineID, p register.Prepare) (a register.Answer, err error) {
	if m == n.self() {
		return n.onPrepare(p)
	}
	if err = n.askVoter(ctx, m, callPrepare, p, &a); err == nil {
		err = n.checkAnswer(ctx, m, p.Name, a)
	}
	return a, err
}

func (n *Node) sendAccept(ctx context.Context, m MachineID, p register.Accept) (a register.Answer, err error) {
	if m == n.self() {
		return n.onAccept(ctx, p, m)
	}
	if err = n.askVoter(ctx, m, callAccept, p, &a); err == nil {
		err = n.checkAnswer(ctx, m, p.Record.Name, a)
	}
	return a, err
}
