package filestore

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sort"
)

// memTable is the table of a MemDisk: pairs in order of their keys.
type memTable struct {
	disk  *MemDisk
	pairs []pair
	doubt []write // of a commit that failed: a crash may bring it back
}

func (d *MemDisk) openTable(create bool) (table, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tab == nil {
		if !create {
			return nil, fmt.Errorf("table: %w", fs.ErrNotExist)
		}
		if err := d.check(OpCreate, tableFile); err != nil {
			return nil, err
		}
		d.tab = &memTable{disk: d}
	}
	return d.tab, nil
}

func (d *MemDisk) setTableAside() error {
	d.LoseTable()
	return nil
}

// LoseTable has the table be gone and its journal, as if their files had been removed.
// No Store may be open.
func (d *MemDisk) LoseTable() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tab = nil
	for n := range uint64(2) {
		delete(d.root.entries, journalFile(n))
		delete(d.root.durable, journalFile(n))
	}
}

func (t *memTable) get(key []byte) ([]byte, error) {
	t.disk.mu.Lock()
	defer t.disk.mu.Unlock()
	if i, found := t.find(key); found {
		return bytes.Clone(t.pairs[i].value), nil
	}
	return nil, nil
}

func (t *memTable) page(after []byte, n int) ([]pair, error) {
	t.disk.mu.Lock()
	defer t.disk.mu.Unlock()
	i, found := t.find(after)
	if found {
		i++
	}
	return slices.Clone(t.pairs[i:min(i+n, len(t.pairs))]), nil
}

func (t *memTable) apply(writes []write) error {
	t.disk.linger()
	t.disk.mu.Lock()
	defer t.disk.mu.Unlock()
	if err := t.disk.check(OpCommit, tableFile); err != nil {
		t.doubt = writes
		return err
	}
	t.put(writes)
	return nil
}

func (t *memTable) put(writes []write) {
	for _, w := range writes {
		i, found := t.find(w.key)
		switch {
		case found && w.value == nil:
			t.pairs = slices.Delete(t.pairs, i, i+1)
		case found:
			t.pairs[i].value = bytes.Clone(w.value)
		case w.value != nil:
			t.pairs = slices.Insert(t.pairs, i, pair{bytes.Clone(w.key), bytes.Clone(w.value)})
		}
	}
}

func (t *memTable) find(key []byte) (int, bool) {
	return sort.Find(len(t.pairs), func(i int) int { return bytes.Compare(key, t.pairs[i].key) })
}

// crash returns what a power loss leaves of t.
func (t *memTable) crash(rng *rand.Rand) *memTable {
	after := &memTable{disk: t.disk, pairs: slices.Clone(t.pairs)}
	if rng.IntN(2) == 0 {
		after.put(t.doubt)
	}
	return after
}

func (t *memTable) close() error { return nil }
