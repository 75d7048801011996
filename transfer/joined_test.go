package transfer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// held is a handler whose first calls wait, and that counts them all.
type held struct {
	handler
	seen atomic.Int64
	open chan struct{}
}

func newHeld(answer func(v int) (any, error)) *held {
	h := &held{open: make(chan struct{})}
	h.call = func(ctx context.Context, _ Remote, _ uint16, payload []byte) (any, error) {
		h.seen.Add(1)
		select {
		case <-h.open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var v int
		if err := Unmarshal(payload, &v); err != nil {
			return nil, err
		}
		return answer(v)
	}
	return h
}

func double(v int) (any, error) { return 2 * v, nil }

// What comes while calls are under way waits for them and goes in few messages;
// everybody gets its own answer.
func TestJoinedCallsGoTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := newHeld(double)
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		const n = 3*maxJoined + joinedAhead
		var calls sync.WaitGroup
		for i := range n {
			calls.Go(func() {
				var got int
				assert.NoError(t, a.CallJoined(t.Context(), b.peer, 1, i, &got, 8))
				assert.Equal(t, 2*i, got)
			})
			if i < joinedAhead {
				synctest.Wait() // these go alone
			}
		}
		synctest.Wait()
		assert.EqualValues(t, joinedAhead, h.seen.Load(), "the others wait")
		assert.Len(t, a.post.boxes, 1)
		before := a.calls(b)
		close(h.open)
		calls.Wait()
		assert.EqualValues(t, n, h.seen.Load())
		assert.EqualValues(t, 3, a.calls(b)-before, "messages that the others took")
		synctest.Wait()
		assert.Empty(t, a.post.boxes, "nothing is kept")
	})
}

// calls is how many calls a member has made on its control connection to another.
func (m *member) calls(to *member) uint64 {
	m.mu.Lock()
	c := m.peers[keyOf(to.peer)].control
	m.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func TestJoinedCallsFailOneByOne(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := newHeld(func(v int) (any, error) {
			if v%2 == 1 {
				return nil, fmt.Errorf("odd %d: %w", v, errTest)
			}
			return v, nil
		})
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		var calls sync.WaitGroup
		for i := range 50 {
			calls.Go(func() {
				var got int
				err := a.CallJoined(t.Context(), b.peer, 1, i, &got, 8)
				if i%2 == 1 {
					assert.ErrorIs(t, err, errTest)
					assert.ErrorContains(t, err, fmt.Sprintf("odd %d", i))
					return
				}
				assert.NoError(t, err)
				assert.Equal(t, i, got)
			})
		}
		synctest.Wait()
		close(h.open)
		calls.Wait()
	})
}

// Who gives up goes; the others of the message stay. A message that nobody waits
// for any more is called off.
func TestJoinedCallsAreGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := newHeld(double)
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		first, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range joinedAhead {
			calls.Go(func() { assert.ErrorIs(t, a.CallJoined(first, b.peer, 1, 1, nil, 8), context.Canceled) })
			synctest.Wait()
		}
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		calls.Go(func() { assert.ErrorIs(t, a.CallJoined(short, b.peer, 1, 2, nil, 8), context.DeadlineExceeded) })
		var got int
		calls.Go(func() { assert.NoError(t, a.CallJoined(t.Context(), b.peer, 1, 3, &got, 8)) })
		synctest.Wait()
		time.Sleep(2 * time.Second)
		assert.EqualValues(t, joinedAhead, h.seen.Load())
		cancel()
		synctest.Wait()
		assert.EqualValues(t, joinedAhead+1, h.seen.Load(), "the one who still waits is served, the one who left is not")
		close(h.open)
		calls.Wait()
		assert.Equal(t, 6, got)
	})
}

func TestJoinedCallsEndWithTheEndpoint(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := newHeld(double)
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		errs := make(chan error, 20)
		for range cap(errs) {
			go func() { errs <- a.CallJoined(t.Context(), b.peer, 1, 1, nil, 8) }()
		}
		synctest.Wait()
		require.NoError(t, a.Close())
		for range cap(errs) {
			require.Error(t, <-errs)
		}
		require.ErrorIs(t, a.CallJoined(t.Context(), b.peer, 1, 1, nil, 8), ErrClosed)
		close(h.open)
	})
}

// Whoever was not reached has not seen the request; whoever was lost may have.
func TestNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := newHeld(double)
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		nobody := Peer{Machine: b.peer.Machine, Addrs: []string{"nobody:1"}}
		for _, call := range []func(Peer) error{
			func(to Peer) error { return a.Call(t.Context(), to, 1, 1, nil) },
			func(to Peer) error { return a.CallJoined(t.Context(), to, 1, 1, nil, 8) },
		} {
			err := call(nobody)
			require.ErrorIs(t, err, ErrUnreachable)
			require.ErrorIs(t, err, ErrNotSent)
			lost := make(chan error)
			go func() { lost <- call(b.peer) }()
			synctest.Wait()
			a.Disconnect(b.peer.Machine)
			err = <-lost
			require.ErrorIs(t, err, ErrClosed)
			require.NotErrorIs(t, err, ErrNotSent)
		}
		close(h.open)
	})
}

// What a peer of another making could send.
func TestJoinedCallsThatCannotBe(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		a := r.start("a", echo, nil)
		one := cbor.RawMessage{0x41, 7} // a byte string
		many := func(n int) []cbor.RawMessage {
			l := make([]cbor.RawMessage, n)
			for i := range l {
				l[i] = one
			}
			return l
		}
		send := func(req any) (joinedReply, error) {
			var reply joinedReply
			return reply, a.Call(t.Context(), b.peer, kindJoined, req, &reply)
		}
		for what, req := range map[string]any{
			"too many":       joinedRequest{Kind: 1, Requests: many(maxJoined + 1)},
			"one in another": joinedRequest{Kind: kindJoined, Requests: many(1)},
			"something else": "hello",
		} {
			_, err := send(req)
			require.ErrorIs(t, err, ErrProtocol, what)
		}
		reply, err := send(joinedRequest{Kind: 1, Requests: many(maxJoined)})
		require.NoError(t, err)
		assert.Len(t, reply.Answers, maxJoined)
		reply, err = send(joinedRequest{Kind: 1})
		require.NoError(t, err)
		assert.Empty(t, reply.Answers)
	})
}

// A machine cannot have more calls served at once by joining them.
func TestJoinedCallsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := newHeld(double)
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		req := joinedRequest{Kind: 1}
		for range maxJoined {
			req.Requests = append(req.Requests, cbor.RawMessage{1})
		}
		const messages = 100
		errs := make(chan error, messages)
		for range messages {
			go func() { errs <- a.Call(t.Context(), b.peer, kindJoined, req, nil) }()
		}
		synctest.Wait()
		assert.LessOrEqual(t, h.seen.Load(), int64(maxCallBytes/callMemory))
		assert.Greater(t, h.seen.Load(), int64(10*maxJoined), "what an honest one needs")
		close(h.open)
		busy := 0
		for range messages {
			if err := <-errs; err != nil {
				require.ErrorIs(t, err, ErrBusy)
				busy++
			}
		}
		assert.Positive(t, busy)
		require.NoError(t, a.Call(t.Context(), b.peer, kindJoined, req, nil), "what was taken is given back")
	})
}

// Nor can it have more held for it by small requests for large answers.
func TestAnswersOfJoinedCallsAreBounded(t *testing.T) {
	const size, room = 1 << 10, 10 // bytes of an answer, and how many there is room for
	h := newHeld(func(int) (any, error) { return make([]byte, size), nil })
	close(h.open)
	codes, err := newCodes(nil)
	require.NoError(t, err)
	all := maxJoined*callMemory + room*(size+8)
	c := &callee{link: &link{calls: newBudget(all)}, e: &Endpoint{cfg: Config{Handler: h}, codes: codes}}
	req := joinedRequest{Kind: 1}
	for range maxJoined {
		req.Requests = append(req.Requests, cbor.RawMessage{1})
	}
	reply, err := c.serveJoined(t.Context(), mustMarshal(req))
	require.NoError(t, err)
	good := 0
	for _, a := range reply.Answers {
		if a.Fail == nil {
			good++
			continue
		}
		require.ErrorIs(t, codes.decode(a.Fail), ErrBusy)
	}
	assert.Equal(t, room, good)
	assert.Equal(t, all, c.link.calls.left, "what was taken is given back")
}

// together is a handler that answers calls of kind 1 all at once.
type together struct {
	*held
	messages atomic.Int64
}

func (h *together) CallJoined(_ context.Context, _ Remote, kind uint16, payloads [][]byte) ([]Answer, bool) {
	if kind != 1 {
		return nil, false
	}
	h.messages.Add(1)
	answers := make([]Answer, len(payloads))
	for i, payload := range payloads {
		var v int
		if answers[i].Err = Unmarshal(payload, &v); answers[i].Err != nil {
			continue
		}
		if answers[i].Value = 3 * v; v%7 == 0 {
			answers[i] = Answer{Err: ErrDenied}
		}
	}
	return answers, true
}

// Calls that are made at once go in as few messages as hold them, and a handler that can
// answers each message as a whole.
func TestCallEach(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := &together{held: newHeld(double)}
		close(h.open)
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		const n = 2*maxJoined + 10
		requests := make([][]byte, n)
		for i := range requests {
			var err error
			requests[i], err = Marshal(i + 1)
			require.NoError(t, err)
		}
		requests[5] = []byte{0x61, 'x'} // a text, which is no number
		requests[6] = make([]byte, joinedBytes+1)
		check := func(kind uint16, factor int) {
			taken := 0
			a.CallEach(t.Context(), b.peer, kind, requests, 8, func(i int, answer []byte, err error) {
				assert.Equal(t, taken, i, "in their order")
				taken++
				switch {
				case i == 5:
					assert.Error(t, err)
				case i == 6:
					assert.ErrorIs(t, err, ErrTooLarge)
				case kind == 1 && (i+1)%7 == 0:
					assert.ErrorIs(t, err, ErrDenied)
				default:
					var got int
					assert.NoError(t, err)
					assert.NoError(t, Unmarshal(answer, &got))
					assert.Equal(t, factor*(i+1), got)
				}
			})
			assert.Equal(t, n, taken)
		}
		check(1, 3)
		assert.EqualValues(t, 3, h.messages.Load())
		assert.Zero(t, h.seen.Load(), "none was answered by itself")
		check(2, 2)
		assert.EqualValues(t, n-1, h.seen.Load(), "all but the one that is too large")
		synctest.Wait()
		assert.Empty(t, a.post.boxes)
	})
}

// Whoever gives up a list of calls hears so of each that was not answered.
func TestCallEachGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := newHeld(double)
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := 0
		a.CallEach(ctx, b.peer, 1, [][]byte{{1}, {2}, {3}}, 8, func(_ int, _ []byte, err error) {
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			failed++
		})
		assert.Equal(t, 3, failed)
		synctest.Wait()
		assert.Empty(t, a.post.boxes)
		require.NoError(t, a.Close())
		a.CallEach(t.Context(), b.peer, 1, [][]byte{{1}, {2}}, 8, func(_ int, _ []byte, err error) {
			assert.ErrorIs(t, err, ErrClosed)
		})
	})
}

// What was answered in time counts, though the call that it waits behind was not.
func TestCallEachThatIsAnsweredInPart(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		h := &handler{}
		h.call = func(ctx context.Context, _ Remote, _ uint16, payload []byte) (any, error) {
			if len(payload) > 100<<10 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return 1, nil
		}
		b := r.start("b", h, nil)
		a := r.start("a", echo, nil)
		var requests [][]byte
		for i := range 21 {
			body, err := Marshal(make([]byte, 5<<10))
			if i == 0 {
				body, err = Marshal(make([]byte, 255<<10))
			}
			require.NoError(t, err)
			requests = append(requests, body)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		answered := 0
		a.CallEach(ctx, b.peer, 1, requests, 8, func(_ int, _ []byte, err error) {
			if err == nil {
				answered++
			}
		})
		assert.Equal(t, len(requests)-1, answered)
	})
}
