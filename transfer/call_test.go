package transfer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, r *ring)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) { f(t, newRing(t)) })
}

func TestCall(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{call: func(_ context.Context, from Remote, kind uint16, payload []byte) (any, error) {
			var v string
			err := Unmarshal(payload, &v)
			return fmt.Sprintf("%s %d %s %s", from.Label, kind, v, from.Version), err
		}}, nil)
		a := r.start("a", echo, nil)
		var got string
		assert.False(t, a.Connected(b.peer.Machine))
		require.NoError(t, a.Call(t.Context(), b.peer, 7, "hello", &got))
		assert.True(t, a.Connected(b.peer.Machine))
		assert.Equal(t, "a 7 hello test", got)
		require.NoError(t, a.Call(t.Context(), b.peer, 8, "again", nil))
		assert.EqualValues(t, 1, b.accepted.Load(), "one connection serves all calls")
		synctest.Wait()
		_, ok := a.RTT(b.peer.Machine)
		assert.True(t, ok)
		_, ok = a.RTT(MachineID{})
		assert.False(t, ok)
	})
}

// The memory of an answer is used again, and never while somebody has the answer.
func TestLargeAnswersStayAsTheyCame(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		answer := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 1}, 5_000+i*977%60_000) }
		b := r.start("b", handler{call: func(_ context.Context, _ Remote, _ uint16, payload []byte) (any, error) {
			var i int
			err := Unmarshal(payload, &i)
			return answer(i), err
		}}, nil)
		a := r.start("a", echo, nil)
		got := make([][]byte, 400)
		for round := range 10 {
			var all sync.WaitGroup
			for k := range 40 {
				i := 40*round + k
				all.Go(func() { assert.NoError(t, a.Call(t.Context(), b.peer, 1, i, &got[i])) })
			}
			all.Wait()
		}
		for i := range got {
			require.True(t, bytes.Equal(answer(i), got[i]), i)
		}
	})
}

func TestAnyMemberWillDo(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		a := r.start("a", echo, nil)
		require.NoError(t, a.Call(t.Context(), Peer{Addrs: b.peer.Addrs}, 1, []byte{1}, nil))
		a.Disconnect(b.peer.Machine)
		require.NoError(t, a.Call(t.Context(), Peer{Addrs: b.peer.Addrs}, 1, []byte{1}, nil))
		assert.EqualValues(t, 2, b.accepted.Load())
		require.ErrorIs(t, a.Call(t.Context(), Peer{}, 1, nil, nil), ErrUnreachable)
		time.Sleep(5 * time.Minute)
		a.mu.Lock()
		defer a.mu.Unlock()
		assert.Empty(t, a.peers, "an idle connection ends, and nothing remains of it")
	})
}

func TestErrorsCrossTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{call: func(_ context.Context, _ Remote, kind uint16, _ []byte) (any, error) {
			return nil, []error{
				fmt.Errorf("at b: %w", errTest), errors.New("odd"), fmt.Errorf("x: %w", ErrCorrupt),
				&RemoteError{Code: 999, Message: "from afar"},
			}[kind]
		}}, nil)
		a := r.start("a", echo, nil)
		call := func(kind uint16) error { return a.Call(t.Context(), b.peer, kind, nil, nil) }
		err := call(0)
		require.ErrorIs(t, err, errTest)
		require.EqualError(t, err, "at b: test error")
		require.ErrorIs(t, call(1), ErrInternal)
		require.ErrorIs(t, call(2), ErrCorrupt)
		var remote *RemoteError
		require.ErrorAs(t, call(3), &remote)
		assert.Equal(t, Code(999), remote.Code, "an unknown number is passed on")
		require.NoError(t, remote.Unwrap())
	})
}

func TestCallsArePipelined(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		const n = 100
		var all sync.WaitGroup
		all.Add(n)
		b := r.start("b", handler{call: func(context.Context, Remote, uint16, []byte) (any, error) {
			all.Done()
			all.Wait() // none is answered before all are here
			return nil, nil
		}}, nil)
		a := r.start("a", echo, nil)
		var calls sync.WaitGroup
		for range n {
			calls.Go(func() { assert.NoError(t, a.Call(t.Context(), b.peer, 1, make([]byte, 1000), nil)) })
		}
		calls.Wait()
		assert.EqualValues(t, 1, b.accepted.Load())
	})
}

func TestDeadlineTravels(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		ended := make(chan time.Duration, 2)
		b := r.start("b", handler{call: func(ctx context.Context, _ Remote, _ uint16, _ []byte) (any, error) {
			start := time.Now()
			<-ctx.Done()
			ended <- time.Since(start)
			return nil, ctx.Err()
		}}, nil)
		a := r.start("a", echo, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, a.Call(ctx, b.peer, 1, nil, nil), context.DeadlineExceeded)
		assert.InDelta(t, 1, (<-ended).Seconds(), 0.1)

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		require.ErrorIs(t, a.Call(ctx, b.peer, 1, nil, nil), context.Canceled)
		assert.InDelta(t, 3, (<-ended).Seconds(), 0.1, "the handler is told of the cancellation")
	})
}

func TestSilentPeerIsNoticed(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		a := r.start("a", echo, nil)
		require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
		r.net.CutBoth("a", "b")
		start := time.Now()
		require.ErrorIs(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil), ErrUnreachable)
		assert.LessOrEqual(t, time.Since(start), 6*time.Second)
		start = time.Now()
		require.ErrorIs(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil), ErrUnreachable)
		assert.LessOrEqual(t, time.Since(start), 6*time.Second, "nor can it be dialled")
		r.net.HealAll()
		require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
	})
}

func TestSlowAnswerIsNoSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{call: func(context.Context, Remote, uint16, []byte) (any, error) {
			time.Sleep(25 * time.Second)
			return nil, nil
		}}, nil)
		a := r.start("a", echo, nil)
		require.NoError(t, a.Call(t.Context(), b.peer, 1, nil, nil))
	})
}

func TestPeerRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		a := r.start("a", echo, nil)
		require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
		r.net.Kill("b")
		b.stop()
		start := time.Now()
		require.ErrorIs(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil), ErrUnreachable)
		assert.Zero(t, time.Since(start), "a refused connection is known at once")
		r.serve(b)
		require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
	})
}

func TestAddressesAreTried(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		a := r.start("a", echo, nil)
		r.net.CutBoth("a", "void")
		to := Peer{Machine: b.peer.Machine, Addrs: []string{"void:1", "b:9", "b:1"}}
		start := time.Now()
		require.NoError(t, a.Call(t.Context(), to, 1, []byte{1}, nil))
		assert.LessOrEqual(t, time.Since(start), time.Second)
		a.Disconnect(b.peer.Machine)
		start = time.Now()
		require.NoError(t, a.Call(t.Context(), to, 1, []byte{1}, nil))
		assert.Zero(t, time.Since(start), "the good address is tried first")
	})
}

func TestRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		var gone MachineID
		b := r.start("b", echo, func(c *Config) {
			c.Check = func(cert *trust.Certificate) error {
				if cert.Machine == gone {
					return trust.ErrRevoked
				}
				return nil
			}
		})
		a := r.start("a", echo, nil)
		gone = a.peer.Machine
		call := func(from *member, to Peer) error { return from.Call(t.Context(), to, 1, []byte{1}, nil) }
		require.ErrorIs(t, call(a, b.peer), trust.ErrRevoked, "revoked")
		require.ErrorIs(t, call(b, a.peer), trust.ErrRevoked, "the revoked is not called either")

		c := r.start("c", echo, nil)
		require.ErrorIs(t, call(c, Peer{Machine: MachineID{1}, Addrs: b.peer.Addrs}), trust.ErrWrongMachine)

		other := newRing(t)
		other.net = r.net
		stranger := other.start("d", echo, nil)
		require.ErrorIs(t, call(stranger, Peer{Addrs: b.peer.Addrs}), trust.ErrForeign)

		late := r.start("late", echo, func(c *Config) {
			c.Now = func() time.Time { return time.Now().Add(7 * 365 * 24 * time.Hour) }
		})
		require.ErrorIs(t, call(late, b.peer), trust.ErrClock, "the caller's clock")
		require.ErrorIs(t, call(c, late.peer), trust.ErrClock, "the other side's clock, which says why")
	})
}

func TestVersionsMustOverlap(t *testing.T) {
	own := hello{Min: 1, Max: 2, MaxChunk: MaxChunk, Role: roleBulk, Version: "v1"}
	for _, c := range []struct {
		min, max uint16
		ok       bool
	}{{1, 1, true}, {2, 9, true}, {3, 4, false}, {0, 0, false}, {2, 1, false}} {
		peer := own
		peer.Min, peer.Max, peer.Version = c.min, c.max, "v2"
		err := own.check(peer, MachineID{})
		if c.ok {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrIncompatible)
		assert.Contains(t, err.Error(), "v1")
		assert.Contains(t, err.Error(), "v2")
	}
	peer := own
	peer.Ring[0] = 1
	require.ErrorIs(t, own.check(peer, MachineID{}), ErrDenied)
	require.ErrorIs(t, own.check(own, MachineID{1}), ErrDenied)
}

func TestCallsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{call: func(ctx context.Context, _ Remote, _ uint16, _ []byte) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, func(c *Config) { c.MaxCalls = 1 })
		a := r.start("a", echo, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() { assert.ErrorIs(t, a.Call(ctx, b.peer, 1, nil, nil), context.Canceled) })
		}
		synctest.Wait()
		require.ErrorIs(t, a.Call(t.Context(), b.peer, 1, nil, nil), ErrBusy)
		require.ErrorIs(t, a.Call(t.Context(), b.peer, 1, make([]byte, MaxPayload), nil), ErrTooLarge)
		cancel()
		calls.Wait()
	})
}

func TestCloseEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", handler{call: func(ctx context.Context, _ Remote, _ uint16, _ []byte) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, nil)
		a := r.start("a", echo, nil)
		r.net.CutBoth("a", "void")
		errs := make(chan error, 2)
		go func() { errs <- a.Call(t.Context(), b.peer, 1, nil, nil) }()
		go func() { errs <- a.Call(t.Context(), Peer{Addrs: []string{"void:1"}}, 1, nil, nil) }()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, a.Close())
		assert.Zero(t, time.Since(start))
		require.Error(t, <-errs)
		require.Error(t, <-errs)
		require.ErrorIs(t, a.Call(t.Context(), b.peer, 1, nil, nil), ErrClosed)
	})
}

func TestConfigIsChecked(t *testing.T) {
	_, err := New(Config{})
	require.Error(t, err)
	r := newRing(t)
	_, err = New(Config{Identity: r.identity("x"), Handler: echo, Errors: []CodedError{{7, errTest}}})
	require.Error(t, err, "a number of this package")
}

// issuing serves joiners at the issuer's own machine, whose host is called b.
func (r *ring) issuing(invites *trust.Invites, members *trust.Members) *member {
	return r.start("b", echo, func(c *Config) {
		c.Identity = r.first
		c.Join = func(_ context.Context, pub ed25519.PublicKey, req []byte) ([]byte, error) {
			return r.auth.Admit(invites, members, pub, req, time.Now())
		}
	})
}

func TestJoinRing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		invites, err := trust.LoadInvites(t.TempDir() + "/invites")
		require.NoError(t, err)
		members := trust.NewMembers(r.auth.Root())
		r.issuing(invites, members)
		token, err := invites.Create(r.auth, []string{"void:1", "b:1"}, time.Hour, 1, time.Now())
		require.NoError(t, err)
		key := newKey(t)
		id, got, err := JoinRing(t.Context(), token, key, "new", 2, r.net.Dialer("n"), nil)
		require.NoError(t, err)
		assert.Equal(t, "new", id.Certificate().Label)
		assert.Len(t, id.Positions(), 2)
		assert.Equal(t, members.Digest(), got.Digest())

		again, _, err := JoinRing(t.Context(), token, key, "new", 2, r.net.Dialer("n"), nil)
		require.NoError(t, err, "the same key")
		assert.True(t, bytes.Equal(id.Chain()[0], again.Chain()[0]))
		_, _, err = JoinRing(t.Context(), token, newKey(t), "thief", 1, r.net.Dialer("n"), nil)
		require.ErrorIs(t, err, trust.ErrInviteUsed)

		closed := r.start("c", echo, nil)
		token.Addrs = closed.peer.Addrs
		_, _, err = JoinRing(t.Context(), token, key, "new", 2, r.net.Dialer("n"), nil)
		require.ErrorIs(t, err, ErrIncompatible, "nobody is let in there")
	})
}

func TestJoiningThroughAnotherMember(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		invites, err := trust.LoadInvites(t.TempDir() + "/invites")
		require.NoError(t, err)
		members := trust.NewMembers(r.auth.Root())
		b := r.issuing(invites, members)
		relayed := 0
		issuer := b.peer.Addrs
		c := r.start("c", echo, func(c *Config) {
			c.Join = func(context.Context, ed25519.PublicKey, []byte) ([]byte, error) { return nil, errTest }
			c.Issuer = func(want MachineID) ([]string, error) {
				relayed++
				if want != b.peer.Machine && want != (MachineID{}) {
					return nil, ErrUnreachable
				}
				return issuer, nil
			}
		})
		token, err := invites.Create(r.auth, c.peer.Addrs, time.Hour, 1, time.Now())
		require.NoError(t, err)
		key := newKey(t)
		id, _, err := JoinRing(t.Context(), token, key, "new", 1, r.net.Dialer("n"), nil)
		require.NoError(t, err)
		assert.Equal(t, 1, relayed)

		a := r.start("a", echo, func(c *Config) { c.Identity = id })
		reply, err := a.Renew(t.Context(), MachineID{}, c.peer.Addrs)
		require.NoError(t, err)
		require.NoError(t, id.AcceptRenewal(members, reply))

		issuer = []string{"void:1"}
		_, _, err = JoinRing(t.Context(), token, key, "new", 1, r.net.Dialer("n"), nil)
		require.ErrorIs(t, err, ErrUnreachable, "the relay has no way on")
		issuer = c.peer.Addrs
		_, _, err = JoinRing(t.Context(), token, key, "new", 1, r.net.Dialer("n"), nil)
		require.Error(t, err, "in a circle")
		c.stop()
	})
}

// A joiner whom nobody answers is told so, once for each address and in words.
func TestJoinersAreToldWhyNobodyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		listen bool
		first  string
		want   string
	}{
		"nobody there": {want: "through b:1: peer is unreachable: dial tcp: b:1: connection refused"},
		"silence":      {listen: true, want: "through b:1: peer is unreachable: no answer in time"},
		"no TLS": {listen: true, first: "SSH-2.0-OpenSSH_9.9\r\n",
			want: "through b:1: peer is unreachable: tls: first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				if c.listen {
					ln, err := r.net.Listen("b:1")
					require.NoError(t, err)
					defer func() { _ = ln.Close() }()
					go func() {
						if conn, err := ln.Accept(); err == nil {
							_, _ = io.WriteString(conn, c.first)
						}
					}()
				}
				token := trust.Token{Root: r.auth.Root().Fingerprint(), Addrs: []string{"b:1"}}
				_, _, err := JoinRing(t.Context(), token, newKey(t), "x", 1, r.net.Dialer("n"), nil)
				require.ErrorIs(t, err, ErrUnreachable)
				assert.EqualError(t, err, c.want)
			})
		})
	}
}

// Another member of the ring that says it is the one does not get to see it either.
func TestTheSecretIsNotShownToAnotherMember(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		asked := false
		join := func(c *Config) {
			c.Join = func(context.Context, ed25519.PublicKey, []byte) ([]byte, error) {
				asked = true
				return nil, errTest
			}
		}
		b := r.start("b", echo, join)
		token := trust.Token{
			Ring: r.auth.Root().ID(), Root: r.auth.Root().Fingerprint(), Issuer: r.auth.Machine(), Addrs: []string{"b:1"},
		}
		_, _, err := JoinRing(t.Context(), token, newKey(t), "x", 1, r.net.Dialer("n"), nil)
		require.ErrorIs(t, err, trust.ErrWrongMachine)
		relay := r.start("c", echo, func(c *Config) {
			join(c)
			c.Issuer = func(MachineID) ([]string, error) { return b.peer.Addrs, nil }
		})
		token.Addrs = relay.peer.Addrs
		_, _, err = JoinRing(t.Context(), token, newKey(t), "x", 1, r.net.Dialer("n"), nil)
		require.ErrorIs(t, err, trust.ErrWrongMachine)
		assert.False(t, asked)
	})
}

// A joiner of another version is told so.
func TestJoinersOfAnotherVersion(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, func(c *Config) {
			c.Join = func(context.Context, ed25519.PublicKey, []byte) ([]byte, error) { return nil, errTest }
		})
		token := trust.Token{Ring: r.auth.Root().ID(), Root: r.auth.Root().Fingerprint(), Issuer: b.peer.Machine}
		cfg, err := trust.JoinTLS(newKey(t), token, time.Now)
		require.NoError(t, err)
		cfg.NextProtos = []string{"dhtfs-join/9"}
		conn, err := r.net.Dialer("j")(t.Context(), "tcp", "b:1")
		require.NoError(t, err)
		require.ErrorIs(t, handshakeError(tls.Client(conn, cfg).Handshake()), ErrIncompatible)
	})
}

func TestTheSecretIsNotShownToAForeignRing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		asked := false
		evil := newRing(t)
		evil.net = r.net
		evil.start("b", echo, func(c *Config) {
			c.Join = func(context.Context, ed25519.PublicKey, []byte) ([]byte, error) {
				asked = true
				return nil, errTest
			}
		})
		token := trust.Token{Ring: r.auth.Root().ID(), Root: r.auth.Root().Fingerprint(), Addrs: []string{"b:1"}}
		_, _, err := JoinRing(t.Context(), token, newKey(t), "x", 1, r.net.Dialer("n"), nil)
		require.ErrorIs(t, err, trust.ErrForeign)
		assert.False(t, asked)
	})
}
