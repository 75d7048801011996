package transfer

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// road is a link with what stands at its ends, all of given speeds in bytes a
// second, in virtual time.
type road struct {
	link     float64
	compress float64 // raw bytes
	expand   float64 // raw bytes of compressed chunks that the far side takes; 0: any number
	handle   float64 // raw bytes that both ends can do at all; 0: any number
	noise    float64 // each step takes up to so many times longer
}

// chunkOf is a chunk on the road.
type chunkOf struct{ raw, payload float64 }

const (
	roadBytes  = 4 << 20 // that are taken before anything arrives
	roadChunks = 4       // likewise, on the way to the link
)

// travel sends chunks of content that shrinks to ratio and returns how long that
// took and how many went compressed. way decides, and is told of what was sent.
func (r road) travel(chunks int, ratio float64, way func() bool, sent func(raw, payload int, blocked time.Duration)) (took time.Duration, compressed int) {
	random := rand.New(rand.NewPCG(1, 2))
	var drawing sync.Mutex
	taking := func(bytes, speed float64) time.Duration {
		if speed == 0 {
			return 0
		}
		drawing.Lock()
		defer drawing.Unlock()
		return time.Duration(bytes / speed * (1 + r.noise*random.Float64()*random.Float64()) * float64(time.Second))
	}
	made, queued, arrived := make(chan chunkOf, 2), make(chan chunkOf, roadChunks), make(chan bool)
	start := time.Now()
	go func() {
		defer close(made)
		for range chunks {
			c := chunkOf{MaxChunk, MaxChunk}
			time.Sleep(taking(c.raw, r.handle))
			if way() {
				if ratio < 1 {
					time.Sleep(taking(c.raw, r.compress))
					compressed++
				}
				c.payload *= ratio
			}
			made <- c
		}
	}()
	go func() { // takes chunks as long as there is room for them on the way
		defer close(arrived)
		until := time.Now() // when the last one arrives
		room := time.Duration(roadBytes / r.link * float64(time.Second))
		for c := range queued {
			time.Sleep(time.Until(until) - room)
			takes := taking(c.payload, r.link)
			if c.payload < c.raw {
				takes = max(takes, taking(c.raw, r.expand))
			}
			if now := time.Now(); until.Before(now) {
				until = now
			}
			until = until.Add(takes)
		}
		time.Sleep(time.Until(until))
	}()
	for c := range made {
		begun := time.Now()
		queued <- c
		sent(int(c.raw), int(c.payload), time.Since(begun))
	}
	close(queued)
	<-arrived
	return time.Since(start), compressed
}

// Compressing as the link demands is about as fast as whichever is better, always
// or never, and never a tenth slower than not at all.
func TestPaceFollowsTheLink(t *testing.T) {
	const fast = 2000e6
	for name, r := range map[string]road{
		"10 Mbit/s":                  {link: 1.2e6, compress: 200e6},
		"100 Mbit/s":                 {link: 12e6, compress: 200e6},
		"100 Mbit/s, busy machine":   {link: 12e6, compress: 40e6, noise: 3},
		"1 Gbit/s":                   {link: 117e6, compress: 400e6},
		"1 Gbit/s, slow processor":   {link: 117e6, compress: 60e6},
		"1 Gbit/s, noise":            {link: 117e6, compress: 300e6, noise: 2},
		"loopback":                   {link: fast, compress: 200e6, handle: 350e6},
		"loopback, noise":            {link: fast, compress: 200e6, handle: 350e6, noise: 3},
		"much faster than the coder": {link: fast, compress: 150e6, handle: 500e6, noise: 1},
		"busy far side":              {link: 200e6, compress: 1000e6, expand: 150e6},
	} {
		for _, ratio := range []float64{0.16, 0.5, 1} {
			t.Run(name, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					chunks := 1024
					var p pace
					if r.link < 20e6 { // where a trial costs much, what was learned before counts
						chunks = 64
						p.restart()
						r.travel(2*chunks, 0.16, p.compress, p.sent)
					}
					drop := func(int, int, time.Duration) {}
					never, _ := r.travel(chunks, ratio, func() bool { return false }, drop)
					always, _ := r.travel(chunks, ratio, func() bool { return true }, drop)
					p.restart()
					took, compressed := r.travel(chunks, ratio, p.compress, p.sent)
					assert.LessOrEqual(t, took.Seconds(), 1.1*never.Seconds(), "%v of %d compressed; never: %v, always: %v", compressed, chunks, never, always)
					assert.LessOrEqual(t, took.Seconds(), 1.25*min(never, always).Seconds(), "%v of %d compressed; never: %v, always: %v", compressed, chunks, never, always)
				})
			})
		}
	}
}

// What was learned from content that does not shrink would be an accident, and
// hurt what comes next.
func TestPaceLearnsNothingFromNoise(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var p pace
		slow, fast := road{link: 12e6, compress: 200e6, noise: 1}, road{link: 2000e6, compress: 100e6, handle: 350e6}
		p.restart()
		slow.travel(300, 1, p.compress, p.sent)
		p.restart()
		_, compressed := slow.travel(200, 0.16, p.compress, p.sent)
		assert.Greater(t, compressed, 180)
		p.restart()
		fast.travel(300, 0.16, p.compress, p.sent)
		p.restart()
		fast.travel(300, 1, p.compress, p.sent)
		p.restart()
		_, compressed = fast.travel(300, 0.16, p.compress, p.sent)
		assert.Less(t, compressed, 40)
		p.restart()
		_, compressed = slow.travel(300, 0.16, p.compress, p.sent)
		assert.Greater(t, compressed, 100, "the link is another one now")
	})
}
