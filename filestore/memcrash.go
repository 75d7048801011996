package filestore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash cuts the power: the disk becomes what a real one may hold after that,
// chosen by rng. Of the directory changes that no syncDir covered any subset
// has happened, of the writes that no sync covered any subset, each whole or
// torn, and of a commit that was under way all or nothing. The lock is free
// again. The Store that was on the disk must not be used any more, only closed.
func (d *MemDisk) Crash(rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.pending {
		if rng.IntN(2) == 0 {
			c.settle()
		}
	}
	d.pending = nil
	d.used = 0
	d.crashNode(d.root, rng, map[*memNode]bool{})
	if d.tab != nil {
		d.tab = d.tab.crash(rng)
	}
	d.holder = nil
	d.life++
}

// settle makes c durable.
func (c *memChange) settle() {
	if c.from != nil && c.from.durable[c.fromBase] == c.node {
		delete(c.from.durable, c.fromBase)
	}
	if c.to != nil {
		c.to.durable[c.toBase] = c.node
	}
}

// crashNode leaves of n and what is below it what was durable.
func (d *MemDisk) crashNode(n *memNode, rng *rand.Rand, seen map[*memNode]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	if n.entries != nil {
		n.entries = maps.Clone(n.durable)
		for _, name := range slices.Sorted(maps.Keys(n.entries)) {
			d.crashNode(n.entries[name], rng, seen)
		}
		return
	}
	if rng.IntN(2) == 0 {
		n.attr = n.syncAttr
	}
	n.data = slices.Clone(n.data)
	size := len(n.data)
	for _, w := range slices.Backward(n.writes) {
		if kept := tornAt(w, rng); kept < w.to {
			lost := n.data[kept:w.to]
			clear(lost[copy(lost, w.before[min(kept-w.from, len(w.before)):]):])
			if w.to == size && len(w.before) < w.to-w.from && rng.IntN(2) == 0 { // the size did not grow either
				size = max(kept, w.from+len(w.before))
			}
		}
	}
	n.data, n.writes = n.data[:size:size], nil
	n.syncAttr = n.attr
	d.used += n.takes()
}

// tornAt chooses how far into w its bytes reached the disk.
func tornAt(w span, rng *rand.Rand) int {
	switch r := rng.IntN(4); {
	case w.doomed || r < 2:
		return w.from
	case r == 2:
		return w.from + rng.IntN(w.to-w.from+1)
	}
	return w.to
}

// sync makes f's writes durable, but for those that a failed sync has doomed.
func (f *memFile) sync() error {
	f.disk.linger()
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.dead("sync"); err != nil {
		return err
	}
	n := f.node
	if err := f.disk.check(OpSync, f.path); err != nil {
		for i := range n.writes {
			n.writes[i].doomed = true
		}
		return fmt.Errorf("%w: %w", errSync, err)
	}
	if f.disk.skip != nil && f.disk.skip(OpSync, f.path) {
		return nil
	}
	n.writes = slices.DeleteFunc(n.writes, func(w span) bool { return !w.doomed })
	n.syncAttr = n.attr
	return nil
}

func (f *memFile) syncData() error { return f.sync() }

func (d *MemDisk) syncDir(dir string) error {
	d.linger()
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.node("sync", dir)
	if err != nil {
		return err
	}
	if err := d.check(OpSyncDir, dir); err != nil {
		d.pending = slices.DeleteFunc(d.pending, func(c *memChange) bool { return c.from == n || c.to == n })
		return fmt.Errorf("%w: %w", errSync, err)
	}
	if d.skip != nil && d.skip(OpSyncDir, dir) {
		return nil
	}
	d.pending = slices.DeleteFunc(d.pending, func(c *memChange) bool {
		mine := c.from == n || c.to == n
		if mine {
			c.settle()
		}
		return mine
	})
	return nil
}
