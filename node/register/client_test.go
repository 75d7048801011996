package register_test

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
)

// client does one operation after the other.
type client struct {
	w      *world
	number int
	begun  int
	base   uint64 // the greatest change counter it was told
	seen   int    // the last value it was told; zero for none
}

type kind int

const (
	get kind = iota
	put
	putIfAbsent
	compareAndSet
	remove
)

func (k kind) String() string {
	return [...]string{"get", "put", "put if absent", "compare and set", "delete"}[k]
}

// operation is one call of a client. Its value is its number plus one.
type operation struct {
	client   *client
	number   int
	kind     kind
	expected int // of compareAndSet
	base     uint64
	tries    int

	called, returned int64
	settled          bool // the client waits no longer
	known            bool // it was told the outcome
	value            int  // what a get returned
	result           filestore.Result
}

func (o *operation) String() string { return fmt.Sprintf("op %d, %v", o.number, o.kind) }

func (o *operation) id() filestore.OpID { return filestore.OpID{1, byte(o.number)} }

// think begins the next operation after a while.
func (c *client) think() {
	limit := 7
	if c.w.creation {
		limit = 3
	}
	if c.w.forks != nil {
		limit = 14
	}
	if c.begun == limit {
		return
	}
	c.begun++
	c.w.after(1+c.w.Int64N(120), func() {
		o := &operation{client: c, number: len(c.w.ops), base: c.base, called: c.w.now, expected: c.seen}
		o.kind = []kind{get, get, get, put, put, putIfAbsent, compareAndSet, compareAndSet, remove}[c.w.IntN(9)]
		if c.w.creation && c.begun == 1 && c.number < 2 {
			o.kind = putIfAbsent
		}
		c.w.ops = append(c.w.ops, o)
		c.w.logf("client %d calls %v expecting %d", c.number, o, o.expected)
		o.try()
	})
}

// try asks a coordinator, and later, unanswered, another one. A call given up
// may still be under way.
func (o *operation) try() {
	if o.settled {
		return
	}
	w := o.client.w
	if o.tries++; o.tries > 5 {
		o.giveUp()
		return
	}
	m := w.machines[w.IntN(len(w.machines))]
	j := &job{op: o}
	if o.kind != get && !w.creation && w.IntN(10) == 0 && !slices.Equal(m.ring, w.first) {
		j.target = m.ring // a change that moves the voters, too
	}
	if !w.chance(w.loss) {
		w.after(w.delay(), func() { m.work(j) })
	}
	w.after(60+w.Int64N(500), o.try)
}

func (o *operation) giveUp() {
	if !o.settled {
		o.settled = true
		o.client.think()
	}
}

func (o *operation) answered(value int, result filestore.Result, changes uint64) {
	if o.settled {
		return
	}
	o.settled, o.known, o.returned = true, true, o.client.w.now
	o.value, o.result = value, result
	switch {
	case o.kind == get:
		o.client.seen = value
	case result == filestore.ResultStored:
		o.client.seen = o.number + 1
	}
	o.client.base = max(o.client.base, changes)
	o.client.think()
}

// apply is the operation as a function from record to record. The lineage of
// the changes rides in the signature, which is opaque to the register.
func (o *operation) apply(cur *filestore.Record) (filestore.Record, filestore.Result) {
	next := filestore.Record{Format: filestore.RecordFormat, Deleted: true}
	if cur != nil {
		next = *cur
	}
	next.Signature = append(slices.Clone(next.Signature), byte(o.number))
	result := outcome(o.kind, o.expected, value(cur))
	switch result {
	case filestore.ResultStored:
		next.Op, next.Deleted = o.id(), false
		binary.BigEndian.PutUint64(next.SHA256[:], uint64(o.number+1))
	case filestore.ResultDeleted:
		next.Op, next.Deleted, next.SHA256 = o.id(), true, filestore.Hash{}
	}
	return next, result
}

// outcome is what a change does to a name of a value.
func outcome(k kind, expected, value int) filestore.Result {
	switch {
	case k == putIfAbsent && value != 0, k == compareAndSet && value != expected:
		return filestore.ResultExists
	case k == remove && value == 0:
		return filestore.ResultNotFound
	case k == remove:
		return filestore.ResultDeleted
	}
	return filestore.ResultStored
}

// value is the value that a record stands for; zero for none.
func value(rec *filestore.Record) int {
	if rec == nil || rec.Deleted {
		return 0
	}
	return int(binary.BigEndian.Uint64(rec.SHA256[:]))
}
