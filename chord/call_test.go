package chord

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// answers is a Transport that a function plays.
type answers func(to Peer, req Request) (Reply, error)

func (f answers) Call(_ context.Context, to Peer, req Request) (Reply, error) { return f(to, req) }

func ringWith(t *testing.T, f answers, known ...Peer) *Ring {
	t.Helper()
	r, err := New(Config{Positions: []Peer{at(0x10)}, Transport: f})
	require.NoError(t, err)
	r.Remember(known...)
	for _, p := range known {
		r.book.heard(p, time.Millisecond, time.Now())
	}
	return r
}

func TestBadAnswersCountAsNone(t *testing.T) {
	for name, reply := range map[string]Reply{
		"of another position": {From: at(0x99), Mine: true},
		"too long":            {From: at(0x50), Mine: true, Successors: make([]Peer, maxList+1)},
	} {
		bubble.Test(t, func(t *testing.T) {
			r := ringWith(t, func(Peer, Request) (Reply, error) { return reply, nil }, at(0x50))
			l, err := r.Lookup(t.Context(), ID{0x40})
			require.ErrorIs(t, err, ErrUnreachable, name)
			require.Len(t, l.Hops, 1)
			require.ErrorIs(t, l.Hops[0].Err, ErrBadMessage)
			assert.False(t, r.Alive(at(0x50).Machine))
		})
	}
}

// Who failed lately is asked last, and the positions here look to their neighbours.
func TestFailuresAreRemembered(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := ringWith(t, func(to Peer, _ Request) (Reply, error) {
			if to.ID == at(0x20).ID {
				return Reply{}, errRefused
			}
			return Reply{From: to, Mine: true}, nil
		}, at(0x08))
		m := r.machines[0]
		m.placed, m.list = true, ats(0x20, 0x30)

		l, err := r.Lookup(t.Context(), ID{0x18})
		require.NoError(t, err)
		require.Len(t, l.Hops, 2)
		assert.Equal(t, at(0x20), l.Hops[0].Peer)
		require.ErrorIs(t, l.Hops[0].Err, errRefused)
		queue := r.takeQueue()
		require.Len(t, queue, 1)
		assert.Equal(t, KindState, queue[0].message.req.Kind)
		assert.Equal(t, at(0x20), queue[0].message.to)

		l, err = r.Lookup(t.Context(), ID{0x18})
		require.NoError(t, err)
		assert.Equal(t, at(0x30), l.Hops[0].Peer, "another is tried first")
		time.Sleep(suspectFor)
		l, err = r.Lookup(t.Context(), ID{0x18})
		require.NoError(t, err)
		assert.Equal(t, at(0x20), l.Hops[0].Peer, "for a while")
	})
}

// A refusal tells that the machine lives, though not as that position.
func TestRefusalKeepsTheMachineAlive(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := ringWith(t, func(Peer, Request) (Reply, error) {
			return Reply{Refusal: RefusedNotPlaced}, nil
		}, at(0x50))
		l, err := r.Lookup(t.Context(), ID{0x40})
		require.ErrorIs(t, err, ErrUnreachable)
		require.ErrorIs(t, l.Hops[0].Err, ErrNotPlaced)
		assert.True(t, r.Alive(at(0x50).Machine))
	})
}

// Known peers that fill the ring are guessed to be owners: one hop.
func TestCrowdedCacheNeedsOneHop(t *testing.T) {
	owner := at(0x50)
	r := ringWith(t, func(to Peer, _ Request) (Reply, error) {
		return Reply{From: to, Mine: to == owner}, nil
	}, ats(0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0)...)
	r.machines[0].placed, r.machines[0].list = true, ats(0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90)
	owner = at(0xd0)
	l, err := r.Lookup(t.Context(), ID{0xc8})
	require.NoError(t, err)
	assert.Len(t, l.Hops, 1)
}
