package node

import (
	"context"
	"time"
)

const (
	// smallContent is up to which size content goes into the store's journal first:
	// beyond it the writing takes longer than the syncs that are saved.
	smallContent = 64 << 10
	flushEvery   = 5 * time.Second
)

// runFlush has the store make small files durable that are so only in its journal.
func (n *Node) runFlush(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.store.FlushDue():
		}
		if err := n.store.Flush(); err != nil && ctx.Err() == nil {
			n.log.Warn("cannot flush small files", "err", err)
		}
	}
}
