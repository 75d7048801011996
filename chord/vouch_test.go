package chord

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// Two machines that cannot talk to each other, wherever they are on the ring,
// still find out who keeps each other's keys, and soon, once it is clear that
// there is no answer to wait for. When they can talk again they ask each other.
func TestNeighboursVouchForAnOwnerOutOfReach(t *testing.T) {
	for _, size := range []int{3, 4, 7, 14} {
		for _, away := range []int{1, 2, size - 1} {
			t.Run(fmt.Sprint(size, " ", away), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					n, all := cluster(t, size)
					asker, owner := all[0], all[away%size]
					key, before := owner.peer.ID, all[(away-1)%size].peer.ID
					n.part(asker, owner)
					for _, wait := range []time.Duration{0, 0, 20 * time.Second, 10 * time.Minute} {
						time.Sleep(wait)
						l, err := asker.Lookup(t.Context(), key)
						require.NoError(t, err, "after %v", wait)
						assert.True(t, l.Vouched)
						assert.Equal(t, owner.peer, l.Owner)
						assert.Equal(t, before, l.After)
						for i, p := range l.Group(3)[1:] {
							assert.Equal(t, all[(away+1+i)%size].peer, p)
						}
					}
					start := time.Now()
					_, err := asker.Lookup(t.Context(), key)
					require.NoError(t, err)
					assert.Less(t, time.Since(start), 200*time.Millisecond, "it is not waited for each time")

					n.part()
					time.Sleep(suspectFor + 10*time.Second)
					l, err := asker.Lookup(t.Context(), key)
					require.NoError(t, err)
					assert.False(t, l.Vouched)
					assert.Equal(t, owner.peer, l.Owner)
				})
			})
		}
	}
}

// Nobody vouches for the dead: their keys soon belong to others, who say so.
func TestNobodyVouchesForTheDead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n, all := cluster(t, 6)
		n.hush(all[2], true)
		l, err := all[0].Lookup(t.Context(), all[2].peer.ID)
		require.NoError(t, err)
		assert.False(t, l.Vouched)
		assert.Equal(t, all[3].peer, l.Owner)
	})
}

// Of two that are alone with each other nobody is left to ask.
func TestNobodyVouchesInARingOfTwo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		n, all := cluster(t, 2)
		n.part(all...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := all[0].Lookup(ctx, all[1].peer.ID)
		assert.ErrorIs(t, err, ErrUnreachable)
	})
}
