package filestore

import "sync"

// gates let one operation at a time through for each key.
//
// A gate is held while the disk works, which a mutex should not be: the
// register of a name and its file on disk change in two steps, and only here
// can another change of the same name be kept from coming between. Names do
// not wait for each other.
type gates struct {
	mu sync.Mutex
	m  map[string]*gate
}

type gate struct {
	turn  chan struct{} // holds one token while somebody is inside
	users int           // inside or waiting
}

// enter waits until nobody else is inside key's gate. Call leave once.
func (g *gates) enter(key string) (leave func()) {
	g.mu.Lock()
	if g.m == nil {
		g.m = make(map[string]*gate)
	}
	k := g.m[key]
	if k == nil {
		k = &gate{turn: make(chan struct{}, 1)}
		g.m[key] = k
	}
	k.users++
	g.mu.Unlock()

	k.turn <- struct{}{}
	return func() {
		<-k.turn
		g.mu.Lock()
		defer g.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(g.m, key)
		}
	}
}
