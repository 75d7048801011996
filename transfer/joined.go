package transfer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// kindJoined is the kind of a call that carries several of one kind; see doc.go.
const kindJoined = 0xffff

const (
	maxJoined   = 128       // calls in one message
	joinedBytes = 256 << 10 // of their requests and expected answers together: several copies of it are in memory
	joinedAhead = 2         // messages of one kind under way to a peer before others wait and go together
	callMemory  = 2 << 10   // that a call is taken to need where it is served, besides its request
)

type joinedRequest struct {
	Kind     uint16            `cbor:"1,keyasint"`
	Requests []cbor.RawMessage `cbor:"2,keyasint"`
}

// joinedReply answers in the order of the request.
type joinedReply struct {
	Answers []joinedAnswer `cbor:"1,keyasint"`
}

// joinedAnswer is what a Reply or a Fail would have carried.
type joinedAnswer struct {
	Body cbor.RawMessage `cbor:"1,keyasint,omitempty"`
	Fail cbor.RawMessage `cbor:"2,keyasint,omitempty"`
}

// CallJoined is [Endpoint.Call] for what is asked often and costs little. The first
// few calls of a kind to a peer go out at once; those that come while these are
// under way wait for one of them to be answered, and then go together in one
// message, whose answers come together. So nothing waits on a quiet connection, and
// on a busy one many calls share a round trip. Requests are tens of KiB at most;
// expect is about how large an answer will be. Only use it for what is served about
// equally fast each time, and never waits for another joined call of that kind.
func (e *Endpoint) CallJoined(ctx context.Context, to Peer, kind uint16, req, resp any, expect int) error {
	body, err := Marshal(req)
	if err != nil {
		return err
	}
	e.CallEach(ctx, to, kind, [][]byte{body}, expect, func(_ int, answer []byte, failed error) {
		if err = failed; err == nil && resp != nil {
			err = Unmarshal(answer, resp)
		}
	})
	return err
}

// CallEach makes many joined calls at once, of requests that are encoded, and hands
// over what comes of each by its place in the list, one after the other: an encoded
// answer or an error. It returns when that is done.
func (e *Endpoint) CallEach(ctx context.Context, to Peer, kind uint16, requests [][]byte, expect int, take func(i int, answer []byte, err error)) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(e.cfg.CallTimeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	letters := make([]*letter, len(requests))
	posted := make([]*letter, 0, len(requests))
	for i, body := range requests {
		l := &letter{body: body, weight: len(body) + expect, deadline: deadline, done: make(chan struct{})}
		if letters[i] = l; len(body) > joinedBytes {
			l.err = fmt.Errorf("%w: request of %d bytes", ErrTooLarge, len(body))
			close(l.done)
			continue
		}
		posted = append(posted, l)
	}
	if err := e.post.send(e, to, kind, posted); err != nil {
		for _, l := range posted {
			l.err = err
			close(l.done)
		}
	}
	for i, l := range letters {
		select {
		case <-l.done:
			take(i, l.answer, l.err)
		case <-ctx.Done():
			select {
			case <-l.done: // before that
				take(i, l.answer, l.err)
			default:
				e.post.giveUp(l)
				take(i, nil, fmt.Errorf("call: %w", ctx.Err()))
			}
		}
	}
}

// post collects the joined calls of an endpoint.
type post struct {
	mu    sync.Mutex
	boxes map[boxKey]*box
}

type boxKey struct {
	peer peerKey
	kind uint16
}

// box is what waits for one peer.
type box struct {
	waiting []*letter
	ahead   int // messages under way
}

// letter is one joined call. answer and err are written before done is closed.
type letter struct {
	body     []byte
	weight   int
	deadline time.Time
	done     chan struct{}
	answer   []byte
	err      error

	message *message // once it is on its way; guarded by post.mu
	gone    bool     // nobody waits for it any more; guarded by post.mu
}

// message is several letters on their way.
type message struct {
	letters []*letter
	wanted  int // letters that somebody waits for; guarded by post.mu
	cancel  context.CancelFunc
}

// send posts letters, and messages as far as there may be more under way. After an
// error none is posted.
func (p *post) send(e *Endpoint, to Peer, kind uint16, letters []*letter) error {
	if len(letters) == 0 {
		return nil
	}
	key := boxKey{keyOf(to), kind}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.boxes[key]
	if b == nil {
		b = &box{}
		p.boxes[key] = b
	}
	bytes := 0
	for _, l := range letters {
		bytes += l.weight
	}
	carriers := min(joinedAhead-b.ahead, len(letters), 1+max(bytes/joinedBytes, len(letters)/maxJoined))
	for range carriers {
		if !e.begin() {
			if b.ahead == 0 {
				delete(p.boxes, key)
				return ErrClosed
			}
			break // there are others that carry
		}
		b.ahead++
		go func() {
			defer e.wg.Done()
			p.carry(e, to, key, b)
		}()
	}
	b.waiting = append(b.waiting, letters...)
	return nil
}

// begin admits a goroutine that ends e.wg; false when the endpoint is closed.
func (e *Endpoint) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.wg.Add(1)
	return true
}

// carry sends messages until nothing waits any more.
func (p *post) carry(e *Endpoint, to Peer, key boxKey, b *box) {
	for {
		ctx, m := p.collect(key, b)
		if m == nil {
			return
		}
		p.deliver(m, e.callJoined(ctx, to, key.kind, m.letters))
		m.cancel()
	}
}

// collect takes what waits, as much as one message holds; nil when there is nothing.
func (p *post) collect(key boxKey, b *box) (context.Context, *message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &message{}
	bytes := 0
	var deadline time.Time
	for len(b.waiting) > 0 && len(m.letters) < maxJoined {
		l := b.waiting[0]
		if bytes += l.weight; bytes > joinedBytes && len(m.letters) > 0 {
			break
		}
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
		if l.gone {
			bytes -= l.weight
			continue
		}
		l.message = m
		m.letters = append(m.letters, l)
		if l.deadline.After(deadline) {
			deadline = l.deadline
		}
	}
	if m.wanted = len(m.letters); m.wanted == 0 {
		if b.ahead--; b.ahead == 0 && p.boxes[key] == b {
			delete(p.boxes, key)
		}
		return nil, nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	m.cancel = cancel
	return ctx, m
}

// deliver ends every call of a message; err is that of the message as a whole.
func (p *post) deliver(m *message, err error) {
	for _, l := range m.letters {
		if err != nil {
			l.err = err
		}
		close(l.done)
	}
}

// giveUp ends a message that nobody waits for any more.
func (p *post) giveUp(l *letter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.gone = true
	if m := l.message; m != nil {
		if m.wanted--; m.wanted == 0 {
			m.cancel()
		}
	}
}

// callJoined makes the call that carries letters and fills in their answers. A
// single one goes as what it is.
func (e *Endpoint) callJoined(ctx context.Context, to Peer, kind uint16, letters []*letter) error {
	if len(letters) == 1 {
		var body cbor.RawMessage
		err := e.Call(ctx, to, kind, cbor.RawMessage(letters[0].body), &body)
		letters[0].answer = body
		return err
	}
	req := joinedRequest{Kind: kind, Requests: make([]cbor.RawMessage, len(letters))}
	for i, l := range letters {
		req.Requests[i] = l.body
	}
	var reply joinedReply
	if err := e.Call(ctx, to, kindJoined, req, &reply); err != nil {
		return err
	}
	if len(reply.Answers) != len(letters) {
		return fmt.Errorf("%w: %d answers to %d calls", ErrProtocol, len(reply.Answers), len(letters))
	}
	for i, l := range letters {
		l.answer = reply.Answers[i].Body
		if fail := reply.Answers[i].Fail; len(fail) > 0 {
			l.err = e.codes.decode(fail)
		}
	}
	return nil
}

// stackRoom is about what serving a call needs of its stack: CBOR and the checking of
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

// serveJoined has the handler answer all calls of a message side by side. The answers
// count as the requests do, so that little to ask cannot be much to hold.
func (c *callee) serveJoined(ctx context.Context, payload []byte) (joinedReply, error) {
	var req joinedRequest
	if err := Unmarshal(payload, &req); err != nil {
		return joinedReply{}, err
	}
	n := len(req.Requests)
	if n > maxJoined || req.Kind == kindJoined {
		return joinedReply{}, fmt.Errorf("%w: %d calls of kind %d in one", ErrProtocol, n, req.Kind)
	}
	if !c.link.calls.take(n * callMemory) {
		return joinedReply{}, ErrBusy
	}
	defer c.link.calls.give(n * callMemory)
	answers, together := c.answerTogether(ctx, req.Kind, req.Requests)
	if !together {
		answers = make([]joinedAnswer, n)
		var all sync.WaitGroup
		for i, body := range req.Requests {
			all.Go(func() {
				_ = growStack(i)
				v, err := c.e.cfg.Handler.Call(ctx, c.remote, req.Kind, body)
				answers[i] = c.pack(v, err)
			})
		}
		all.Wait()
	}
	for _, a := range answers {
		c.link.calls.give(len(a.Body))
	}
	return joinedReply{answers}, nil
}

// answerTogether has the handler answer all calls of a message at once, if it does so
// for their kind.
func (c *callee) answerTogether(ctx context.Context, kind uint16, requests []cbor.RawMessage) ([]joinedAnswer, bool) {
	h, ok := c.e.cfg.Handler.(JoinedHandler)
	if !ok {
		return nil, false
	}
	payloads := make([][]byte, len(requests))
	for i, r := range requests {
		payloads[i] = r
	}
	values, ok := h.CallJoined(ctx, c.remote, kind, payloads)
	if !ok {
		return nil, false
	}
	answers := make([]joinedAnswer, len(values))
	for i, v := range values {
		answers[i] = c.pack(v.Value, v.Err)
	}
	return answers, true
}

// pack encodes what a handler has returned. The body is taken from the machine's budget.
func (c *callee) pack(v any, err error) joinedAnswer {
	var body []byte
	if err == nil {
		body, err = Marshal(v)
	}
	if err == nil && !c.link.calls.take(len(body)) {
		err = ErrBusy
	}
	if err != nil {
		return joinedAnswer{Fail: c.e.codes.encode(err)}
	}
	return joinedAnswer{Body: body}
}
