package transfer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// storm has strangers on so many hosts begin handshakes for a time, 100 a second
// each, and returns how many were answered.
func (r *ring) storm(to *member, hosts int, length time.Duration) int {
	var answered atomic.Int64
	first := r.helloBytes()
	var all sync.WaitGroup
	for host := range hosts {
		all.Go(func() {
			end := time.Now().Add(length)
			for time.Now().Before(end) {
				conn := r.knock(fmt.Sprint("stranger", host), to, first)
				all.Go(func() {
					if n, _ := conn.Read(make([]byte, 1)); n > 0 {
						answered.Add(1)
					}
					_ = conn.Close()
				})
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	all.Wait()
	return int(answered.Load())
}

// However many handshakes strangers begin, few are answered in a second, of one
// network fewer; and members come in without delay, from where they were before and
// from where this machine reached them.
func TestHandshakesASecondAreBounded(t *testing.T) {
	const length = 4 * time.Second
	until := (length + maxTurn).Seconds() // those who wait are answered later
	for name, c := range map[string]struct{ hosts, most int }{
		"of one network": {1, strangeBurst + int(strangeRate*until)},
		"of all":         {20, strangersBurst + int(strangersRate*until)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *ring) {
				b := r.start("b", echo, func(c *Config) { c.MaxStrangers = 256 })
				a, c2 := r.start("a", echo, nil), r.start("c", echo, nil)
				require.NoError(t, a.Call(t.Context(), b.peer, 1, []byte{1}, nil))
				require.NoError(t, b.Call(t.Context(), c2.peer, 1, []byte{1}, nil))
				var answered int
				var flood sync.WaitGroup
				flood.Go(func() { answered = r.storm(b, c.hosts, length) })
				time.Sleep(time.Second) // until nothing is left for strangers
				for range 20 {
					time.Sleep(100 * time.Millisecond)
					for _, m := range []*member{a, c2} {
						start := time.Now()
						require.NoError(t, m.Call(t.Context(), b.peer, 1, []byte{1}, nil))
						require.Less(t, time.Since(start), 100*time.Millisecond)
						m.Disconnect(b.peer.Machine)
					}
				}
				flood.Wait()
				synctest.Wait()
				assert.LessOrEqual(t, answered, c.most)
				t.Logf("%d, at most %d", answered, c.most)
				assert.GreaterOrEqual(t, answered, c.most*2/3, "the others had their share")
				assert.Zero(t, b.door.waiting.count(), "nobody waits for ever")
			})
		})
	}
}

// A newcomer is let in when the strangers' rate allows it, not refused because
// others of its network were there before.
func TestHandshakesWaitForTheirTurn(t *testing.T) {
	inBubble(t, func(t *testing.T, r *ring) {
		b := r.start("b", echo, nil)
		first := r.helloBytes()
		for range strangeBurst {
			r.knock("x", b, first)
		}
		synctest.Wait()
		start := time.Now()
		conn := r.knock("x", b, first)
		_, err := conn.Read(make([]byte, 1))
		require.NoError(t, err)
		assert.InDelta(t, time.Second.Seconds()/strangeRate, time.Since(start).Seconds(), 0.02)
	})
}

// A crowd gets no more turns for being one: the rate holds whoever comes first to
// the lock, with whatever idea of the time.
func TestTurnsInACrowd(t *testing.T) {
	turns := newThrottle()
	start := time.Now()
	var given atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		from := network(fmt.Sprint(i))
		all.Go(func() {
			for range 2000 {
				if _, _, err := turns.reserve(from); err == nil {
					given.Add(1)
				}
			}
		})
	}
	all.Wait()
	until := time.Since(start) + maxTurn
	assert.LessOrEqual(t, given.Load(), int64(strangersBurst+1+strangersRate*until.Seconds()))
	assert.GreaterOrEqual(t, given.Load(), int64(strangersBurst))
}

func TestNetworksAreForgotten(t *testing.T) {
	n := networks{rate: 1, burst: 1}
	kept := n.limiter("kept")
	for i := range 3 * maxNetworks {
		n.limiter(network(fmt.Sprint(i)))
		require.LessOrEqual(t, len(n.now)+len(n.old), 2*maxNetworks)
		l, ok := n.find("kept")
		require.True(t, ok && l == kept, "it is used all the time")
	}
	_, ok := n.find("0")
	assert.False(t, ok)
}
