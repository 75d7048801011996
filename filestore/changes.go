package filestore

import (
	"bytes"
	"slices"
)

// change is what a journal has for one key.
type change struct {
	key     []byte
	value   []byte // nil: the key is deleted, or its value is content
	content extent // of content, which stays in the journal's file
}

// extent is a part of a file; size zero: none.
type extent struct {
	at   int64
	size int
}

// changes are the latest changes of some keys, in order of the keys.
type changes []*change

// find returns where key is, or would be.
func (all changes) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(all, key, func(c *change, key []byte) int { return bytes.Compare(c.key, key) })
}

// get returns the change of key, or nil.
func (all changes) get(key []byte) *change {
	if i, found := all.find(key); found {
		return all[i]
	}
	return nil
}

// put remembers c in the place of what there was for its key.
func (all *changes) put(c *change) {
	i, found := all.find(c.key)
	if found {
		(*all)[i] = c
		return
	}
	*all = slices.Insert(*all, i, c)
}

// page returns up to n changes of what a table lists, which content is not, in order,
// the first greater than after.
func (all changes) page(after []byte, n int) []*change {
	i, found := all.find(after)
	if found {
		i++
	}
	var page []*change
	for ; i < len(all) && len(page) < n; i++ {
		if all[i].content.size == 0 {
			page = append(page, all[i])
		}
	}
	return page
}

// merge lays changes over a page of pairs, both in order, up to the key last, or all of
// them if that is nil. Where both have a key the change counts.
func merge(base []pair, over []*change, last []byte) []pair {
	var out []pair
	for len(base) > 0 || len(over) > 0 {
		order := -1 // of the next of base to the next of over
		switch {
		case len(base) == 0:
			order = 1
		case len(over) > 0:
			order = bytes.Compare(base[0].key, over[0].key)
		}
		var next pair
		if order < 0 {
			next, base = base[0], base[1:]
		} else {
			c := over[0]
			next, over = pair{bytes.Clone(c.key), bytes.Clone(c.value)}, over[1:]
			if order == 0 {
				base = base[1:]
			}
		}
		if last != nil && bytes.Compare(next.key, last) > 0 {
			break
		}
		if next.value != nil {
			out = append(out, next)
		}
	}
	return out
}
