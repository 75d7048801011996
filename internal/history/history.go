// Package history is what clients of a ring were told, one operation after the other or
// at once, and whether that could have happened: each name by itself is linearizable
// (Herlihy and Wing, 1990). The check is porcupine's.
package history

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what a client asks for.
type Kind int

// Kinds are how many there are.
const (
	Get Kind = iota
	Put
	PutIfAbsent
	Remove
	Kinds
)

func (k Kind) String() string {
	return [...]string{"get", "put", "put if absent", "delete"}[k]
}

// Result is what a client was told.
type Result int

// Results.
const (
	Unknown Result = iota // nothing certain: it may happen at any later time, or never
	Done                  // for a get: the value is known
	Taken                 // other content has the name
	Absent                // the name is not stored
)

func (r Result) String() string {
	return [...]string{"unknown", "done", "taken", "absent"}[r]
}

// Operation is one call of a client, all its attempts together. Values are
// numbered; 0 is that of a name that is not stored.
type Operation struct {
	Client           int
	Name             string
	Kind             Kind
	Value            int // that a put writes, or that a get found
	Result           Result
	From, Until      time.Duration // since the beginning, for people
	called, returned int64         // in the order of all events
}

// History is what all clients were told. Its methods may be called concurrently.
type History struct {
	Start time.Time
	Ops   []*Operation // to be read when no client is at work

	mu     sync.Mutex
	clock  int64
	values int
}

// Call notes that an operation begins. A put gets a value that no other has.
func (h *History) Call(client int, name string, k Kind) *Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	o := &Operation{Client: client, Name: name, Kind: k, called: h.clock, From: time.Since(h.Start)}
	if k == Put || k == PutIfAbsent {
		h.values++
		o.Value = h.values
	}
	h.Ops = append(h.Ops, o)
	return o
}

// End notes how it ended. The value of a get has to be there by then.
func (h *History) End(o *Operation, r Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	o.returned, o.Until, o.Result = h.clock, time.Since(h.Start), r
}

// Wrote reports whether somebody tried to store a value under a name.
func (h *History) Wrote(name string, value int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.Ops, func(o *Operation) bool {
		return o.Name == name && o.Value == value && (o.Kind == Put || o.Kind == PutIfAbsent)
	})
}

// step is what an operation does to a name that has a value, and whether that
// agrees with what the client was told.
func (o *Operation) step(value int) (agrees bool, next int) {
	switch o.Kind {
	case Get:
		return o.Value == value, value
	case Put:
		return o.Result != Taken && o.Result != Absent, o.Value
	case PutIfAbsent:
		if value != 0 {
			return o.Result != Done, value
		}
		return o.Result != Taken, o.Value
	default:
		if value == 0 {
			return o.Result != Done, 0
		}
		return o.Result != Absent, 0
	}
}

// Check returns an error for each name whose history is not linearizable, with that
// history, or is too long to tell. Nobody may be at work.
func (h *History) Check() error {
	byName := map[string][]porcupine.Operation{}
	for _, o := range h.Ops {
		returned := o.returned
		switch {
		case o.Result == Unknown && o.Kind == Get:
			continue
		case o.Result == Unknown:
			returned = math.MaxInt64
		}
		byName[o.Name] = append(byName[o.Name], porcupine.Operation{
			ClientId: o.Client, Input: o, Output: o, Call: o.called, Return: returned,
		})
	}
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, in, _ any) (bool, any) { return in.(*Operation).step(state.(int)) },
	}
	var errs []error
	for name, ops := range byName {
		switch porcupine.CheckOperationsTimeout(model, ops, time.Minute) {
		case porcupine.Illegal:
			errs = append(errs, fmt.Errorf("the history of %s is not linearizable:\n%s", name, h.of(name)))
		case porcupine.Unknown:
			errs = append(errs, fmt.Errorf("the history of %s, %d operations, is too long to be checked", name, len(ops)))
		}
	}
	return errors.Join(errs...)
}

// of lists the operations of a name.
func (h *History) of(name string) string {
	var b strings.Builder
	for _, o := range h.Ops {
		if o.Name == name {
			fmt.Fprintf(&b, "%12v to %12v: client %d: %v %d: %v\n", o.From, o.Until, o.Client, o.Kind, o.Value, o.Result)
		}
	}
	return b.String()
}
