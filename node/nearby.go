package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
)

// placeFresh is how long the answer to a lookup serves for the other keys of its
// arc. It is no longer than an answer may be on its way.
const placeFresh = 100 * time.Millisecond

// recentPlaces remembers the places that were looked up a moment ago, so that
// thousands of names do not take a lookup each. A place is a view and may be out of
// date as soon as it is told: whoever is asked in the wrong place says so, and names
// are created safely only while the ring does not change, as without it. The zero
// value is ready.
type recentPlaces struct {
	mu   sync.Mutex
	list []recentPlace
}

type recentPlace struct {
	place
	until time.Time
}

// placeNear is place, or what place has said of the key's arc a moment ago. The
// caller must not change it.
func (n *Node) placeNear(ctx context.Context, key chord.ID) (place, error) {
	if p, ok := n.places.find(key, time.Now()); ok {
		return p, nil
	}
	p, err := n.place(ctx, key)
	if err == nil {
		n.places.add(p, time.Now())
	}
	return p, err
}

// lookNear looks up the places of many names, those in different arcs side by side, so
// that placeNear knows them for the moment.
func (n *Node) lookNear(ctx context.Context, names []string) {
	var positions []chord.ID
	for range 2 { // what the members are is not quite what the arcs are
		ahead := map[int]chord.ID{} // a key for each arc in which some are
		now := time.Now()
		for _, name := range names {
			key := chord.KeyOf(name)
			if _, ok := n.places.find(key, now); ok {
				continue
			}
			if positions == nil {
				positions = n.members.places()
			}
			i, _ := slices.BinarySearchFunc(positions, key, chord.ID.Compare)
			ahead[i%max(1, len(positions))] = key
		}
		if len(ahead) == 0 {
			return
		}
		askEach(slices.Collect(maps.Values(ahead)), func(key chord.ID) error {
			_, err := n.placeNear(ctx, key)
			return err
		})
	}
}

func (r *recentPlaces) find(key chord.ID, now time.Time) (place, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.list {
		if now.Before(p.until) && p.contains(key) {
			return p.place, true
		}
	}
	return place{}, false
}

func (r *recentPlaces) add(p place, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.list[:0]
	for _, old := range r.list {
		if now.Before(old.until) && old.arc != p.arc {
			kept = append(kept, old)
		}
	}
	clear(r.list[len(kept):])
	r.list = append(kept, recentPlace{p, now.Add(placeFresh)})
}
