package node

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/dhtfs/dhtfs/filestore"
)

// defaultRepairRate is about a quarter of what a link of a gigabit a second
// carries: clients keep the most of it, and a terabyte is whole again within ten
// hours.
const (
	defaultRepairRate = 32 << 20
	repairPulls       = 8 // contents copied to this node together for repair
)

// pacer holds back what repair copies to this node, so that clients are served
// meanwhile, and bounds how much of it is under way. It may be used concurrently.
type pacer struct {
	limiter *rate.Limiter
	slots   chan struct{}
}

// newPacer lets perSecond bytes pass.
func newPacer(perSecond int64) *pacer {
	return &pacer{
		limiter: rate.NewLimiter(rate.Limit(perSecond), filestore.ChunkSize),
		slots:   make(chan struct{}, repairPulls),
	}
}

// enter waits until another content may be copied; leave must be called.
func (p *pacer) enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pass waits until a chunk of so many bytes may come.
func (p *pacer) pass(ctx context.Context, bytes int) error { return p.limiter.WaitN(ctx, bytes) }
