package history

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// event is a call, or what the client was told of it.
type event struct {
	client int
	kind   Kind
	value  int // of a get
	result Result
	ends   bool
}

func call(client int, k Kind) event  { return event{client: client, kind: k} }
func end(client int, r Result) event { return event{client: client, result: r, ends: true} }
func got(client, value int) event {
	return event{client: client, value: value, result: Done, ends: true}
}
func whole(client int, k Kind, r Result) []event { return []event{call(client, k), end(client, r)} }

func played(events ...event) *History {
	h := &History{}
	under := map[int]*Operation{}
	for _, e := range events {
		if !e.ends {
			under[e.client] = h.Call(e.client, "a", e.kind)
			continue
		}
		o := under[e.client]
		if o.Kind == Get {
			o.Value = e.value
		}
		h.End(o, e.result)
	}
	return h
}

func TestCheck(t *testing.T) {
	put := whole(1, Put, Done)
	for _, test := range []struct {
		name   string
		events []event
		legal  bool
	}{
		{"what was put is there", append(put, call(2, Get), got(2, 1)), true},
		{"what was put is not there", append(put, call(2, Get), got(2, 0)), false},
		{"nor is a value that nobody put", append(put, call(2, Get), got(2, 7)), false},
		{"a get beside a put", []event{call(1, Put), call(2, Get), got(2, 0), end(1, Done)}, true},
		{"two gets that go back", []event{call(1, Put), call(2, Get), got(2, 1), call(2, Get), got(2, 0), end(1, Done)}, false},
		{"an unknown outcome that comes later", []event{call(1, Put), end(1, Unknown), call(2, Get), got(2, 0), call(2, Get), got(2, 1)}, true},
		{"and does not go again", []event{call(1, Put), end(1, Unknown), call(2, Get), got(2, 1), call(2, Get), got(2, 0)}, false},
		{"a name that is taken", append(put, whole(2, PutIfAbsent, Taken)...), true},
		{"a name that is not", whole(2, PutIfAbsent, Taken), false},
		{"both create it", append(whole(1, PutIfAbsent, Done), whole(2, PutIfAbsent, Done)...), false},
		{"a delete of nothing", whole(1, Remove, Done), false},
		{"a delete", append(put, append(whole(2, Remove, Done), call(2, Get), got(2, 0))...), true},
		{"which said that there is nothing", append(put, whole(2, Remove, Absent)...), false},
	} {
		err := played(test.events...).Check()
		if test.legal {
			assert.NoError(t, err, test.name)
		} else {
			require.Error(t, err, test.name)
			assert.Contains(t, err.Error(), "not linearizable", test.name)
		}
	}
}

func TestWrote(t *testing.T) {
	h := played(append(whole(1, Put, Unknown), whole(2, Get, Done)...)...)
	assert.True(t, h.Wrote("a", 1))
	assert.False(t, h.Wrote("a", 2))
	assert.False(t, h.Wrote("b", 1))
}
