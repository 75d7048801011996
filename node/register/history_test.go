package register_test

import (
	"math"

	"github.com/anishathalye/porcupine"

	"github.com/dhtfs/dhtfs/filestore"
)

// checkHistory checks that what the clients were told is linearizable.
func (w *world) checkHistory() {
	var history []porcupine.Operation
	for _, o := range w.ops {
		if o.client == nil {
			continue // it was there before the beginning
		}
		entry := porcupine.Operation{Input: o, Output: o, Call: o.called, Return: o.returned}
		if !o.known { // it may take effect at any time, or never
			if o.kind == get {
				continue
			}
			entry.Return = math.MaxInt64
		}
		history = append(history, entry)
	}
	start := 1
	if w.creation {
		start = 0
	}
	model := porcupine.Model{
		Init: func() any { return start },
		Step: func(state, op, _ any) (bool, any) { return op.(*operation).step(state.(int)) },
	}
	if !porcupine.CheckOperations(model, history) {
		w.fault("the history is not linearizable")
	}
}

// step is what the operation may do to a register of a value: the model that
// histories are checked against.
func (o *operation) step(value int) (bool, int) {
	if o.kind == get {
		return o.value == value, value
	}
	result := outcome(o.kind, o.expected, value)
	if o.known && o.result != result {
		return false, value
	}
	switch result {
	case filestore.ResultStored:
		return true, o.number + 1
	case filestore.ResultDeleted:
		return true, 0
	}
	return true, value
}
