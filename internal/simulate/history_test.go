package simulate

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// kind is what a client asks for.
type kind int

const (
	get kind = iota
	put
	putIfAbsent
	remove
	kinds
)

func (k kind) String() string {
	return [...]string{"get", "put", "put if absent", "delete"}[k]
}

// result is what a client was told.
type result int

const (
	unknown result = iota // nothing certain: it may happen at any later time, or never
	done                  // for a get: the value is known
	taken                 // other content has the name
	absent                // the name is not stored
)

func (r result) String() string {
	return [...]string{"unknown", "done", "taken", "absent"}[r]
}

// operation is one call of a client, all its attempts together. Values are
// numbered; 0 is that of a name that is not stored.
type operation struct {
	client           int
	name             string
	kind             kind
	value            int // that a put writes, or that a get found
	result           result
	called, returned int64         // in the order of all events
	from, until      time.Duration // since the beginning, for people
}

// history is what all clients were told. It may be used concurrently.
type history struct {
	mu     sync.Mutex
	clock  int64
	values int
	start  time.Time
	ops    []*operation
}

// call notes that an operation begins.
func (h *history) call(client int, name string, k kind) *operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	o := &operation{client: client, name: name, kind: k, called: h.clock, from: time.Since(h.start)}
	if k == put || k == putIfAbsent {
		h.values++
		o.value = h.values
	}
	h.ops = append(h.ops, o)
	return o
}

// end notes how it ended.
func (h *history) end(o *operation, r result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	o.returned, o.until, o.result = h.clock, time.Since(h.start), r
}

// wrote reports whether somebody tried to store a value under a name.
func (h *history) wrote(name string, value int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.ops, func(o *operation) bool {
		return o.name == name && o.value == value && (o.kind == put || o.kind == putIfAbsent)
	})
}

// step is what an operation does to a name that has a value, and whether that
// agrees with what the client was told.
func (o *operation) step(value int) (agrees bool, next int) {
	switch o.kind {
	case get:
		return o.value == value, value
	case put:
		return o.result != taken && o.result != absent, o.value
	case putIfAbsent:
		if value != 0 {
			return o.result != done, value
		}
		return o.result != taken, o.value
	default:
		if value == 0 {
			return o.result != done, 0
		}
		return o.result != absent, 0
	}
}

// check fails the test unless the history of every name is linearizable.
func (h *history) check(t *testing.T) {
	t.Helper()
	byName := map[string][]porcupine.Operation{}
	for _, o := range h.ops {
		returned := o.returned
		switch {
		case o.result == unknown && o.kind == get:
			continue
		case o.result == unknown:
			returned = math.MaxInt64
		}
		byName[o.name] = append(byName[o.name], porcupine.Operation{
			ClientId: o.client, Input: o, Output: o, Call: o.called, Return: returned,
		})
	}
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, in, _ any) (bool, any) { return in.(*operation).step(state.(int)) },
	}
	for name, ops := range byName {
		switch porcupine.CheckOperationsTimeout(model, ops, time.Minute) {
		case porcupine.Illegal:
			t.Errorf("the history of %s is not linearizable", name)
			h.print(t, name)
		case porcupine.Unknown:
			t.Errorf("the history of %s is too long to be checked", name)
		}
	}
}

// print logs the operations of a name, or of all.
func (h *history) print(t *testing.T, name string) {
	for _, o := range h.ops {
		if o.name == name || name == "" {
			t.Logf("%12v to %12v: client %d: %v %d of %s: %v", o.from, o.until, o.client, o.kind, o.value, o.name, o.result)
		}
	}
}
