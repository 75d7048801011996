package node

import (
	"context"
	"sync"
)

// gate lets one at a time work on each name. The zero value is ready.
type gate struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the holder leaves
}

// enter waits for the name to be free; release must be called.
func (g *gate) enter(ctx context.Context, name string) (release func(), err error) {
	for {
		g.mu.Lock()
		held, taken := g.busy[name]
		if !taken {
			mine := make(chan struct{})
			if g.busy == nil {
				g.busy = map[string]chan struct{}{}
			}
			g.busy[name] = mine
			g.mu.Unlock()
			return func() {
				g.mu.Lock()
				delete(g.busy, name)
				g.mu.Unlock()
				close(mine)
			}, nil
		}
		g.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
