package watch

import (
	"sync"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// catalog knows which contents the folders have published, so that one that
// turns up under another name is not sent again. Safe for concurrent use.
type catalog struct {
	mu    sync.Mutex
	names map[string]Entry // by name
	sums  map[filestore.Hash]map[string]struct{}
	sizes map[int64]int // how many names have a content of the size
}

func newCatalog() *catalog {
	return &catalog{names: map[string]Entry{}, sums: map[filestore.Hash]map[string]struct{}{}, sizes: map[int64]int{}}
}

// set notes what a name stands for; an entry without a version: nothing.
func (c *catalog) set(name string, e Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.names[name]; ok {
		delete(c.names, name)
		delete(c.sums[old.Sum], name)
		if len(c.sums[old.Sum]) == 0 {
			delete(c.sums, old.Sum)
		}
		if c.sizes[old.Print.Size]--; c.sizes[old.Print.Size] == 0 {
			delete(c.sizes, old.Print.Size)
		}
	}
	if e.Version == (filestore.OpID{}) {
		return
	}
	c.names[name] = e
	if c.sums[e.Sum] == nil {
		c.sums[e.Sum] = map[string]struct{}{}
	}
	c.sums[e.Sum][name] = struct{}{}
	c.sizes[e.Print.Size]++
}

// hasSize reports whether another name has a content of a size.
func (c *catalog) hasSize(size int64, not string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.sizes[size]
	if e, ok := c.names[not]; ok && e.Print.Size == size {
		n--
	}
	return n > 0
}

// find returns another name that a content has.
func (c *catalog) find(sum filestore.Hash, not string) (node.Source, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.sums[sum] {
		if name != not {
			return node.Source{Name: name, Version: c.names[name].Version}, true
		}
	}
	return node.Source{}, false
}
