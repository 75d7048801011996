package node

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/dhtfs/dhtfs/chord"
)

// alongRing is a map of names that can be walked in the order of their keys. The
// zero value is empty. It is not safe for concurrent use.
type alongRing[T any] struct {
	values map[string]T
	order  []keyedName // of all that were put, and some that are gone
	sorted bool
}

type keyedName struct {
	key  chord.ID
	name string
}

func compareKeyed(a, b keyedName) int {
	return cmp.Or(a.key.Compare(b.key), strings.Compare(a.name, b.name))
}

func (l *alongRing[T]) len() int { return len(l.values) }

func (l *alongRing[T]) get(name string) (T, bool) {
	v, ok := l.values[name]
	return v, ok
}

func (l *alongRing[T]) put(name string, v T) {
	if l.values == nil {
		l.values = map[string]T{}
	}
	if _, known := l.values[name]; !known {
		l.order = append(l.order, keyedName{chord.KeyOf(name), name})
		l.sorted = false
	}
	l.values[name] = v
}

func (l *alongRing[T]) remove(name string) {
	delete(l.values, name)
	if len(l.values) == 0 {
		l.order, l.sorted = nil, true
	}
}

// in walks the names of an arc. They may be removed meanwhile, and not put.
func (l *alongRing[T]) in(a arc) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		if len(l.values) == 0 {
			return
		}
		if !l.sorted {
			slices.SortFunc(l.order, compareKeyed)
			l.order = slices.Compact(l.order) // a name that was removed and came again
			l.sorted = true
		}
		start, _ := slices.BinarySearchFunc(l.order, a.After, func(k keyedName, after chord.ID) int {
			if k.key.Compare(after) <= 0 {
				return -1
			}
			return 1
		})
		order := l.order
		for i := range order {
			k := order[(start+i)%len(order)]
			if !a.contains(k.key) {
				return
			}
			if v, ok := l.values[k.name]; ok && !yield(k.name, v) {
				return
			}
		}
	}
}
