package node

import "sync"

// recent remembers values that were found out a moment ago, by the SHA-256 of what
// they come from. Each is wanted again within seconds, or never; there are two
// generations of them. The zero value is ready; it may be used concurrently.
type recent[V any] struct {
	mu          sync.Mutex
	young, aged map[[32]byte]V
}

func (r *recent[V]) find(id [32]byte) (v V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok = r.young[id]; !ok {
		v, ok = r.aged[id]
	}
	return v, ok
}

// add remembers a value; most is how many a generation has.
func (r *recent[V]) add(id [32]byte, v V, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young == nil || len(r.young) >= most {
		r.young, r.aged = make(map[[32]byte]V), r.young
	}
	r.young[id] = v
}
