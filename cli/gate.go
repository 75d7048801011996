package cli

import (
	"io"
	"sync"
)

// gate is a reader that knows whether anybody has begun to read, and that can
// be shut before anybody has.
type gate struct {
	r io.Reader

	mu    sync.Mutex
	begun bool
	shut  bool
}

// Read reads, unless the gate is shut.
func (g *gate) Read(p []byte) (int, error) {
	if !g.begin() {
		return 0, io.ErrClosedPipe
	}
	return g.r.Read(p)
}

func (g *gate) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun = g.begun || !g.shut
	return !g.shut
}

// untouched shuts the gate and reports whether nothing has been read, and so
// nothing ever will be.
func (g *gate) untouched() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	return !g.begun
}
