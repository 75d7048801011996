package register_test

import "container/heap"

// schedule is an event queue with a clock of its own: the same calls in the
// same order always run in the same order.
type schedule struct {
	now   int64
	count int
	queue events
}

type event struct {
	at    int64
	order int // ties are broken by age
	do    func()
}

// after runs do when d ticks have passed.
func (s *schedule) after(d int64, do func()) {
	s.count++
	heap.Push(&s.queue, event{at: s.now + d, order: s.count, do: do})
}

// run empties the queue; false when it did not come to an end.
func (s *schedule) run() bool {
	for steps := 0; len(s.queue) > 0; steps++ {
		if steps == 100_000 {
			return false
		}
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	}
	return true
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
