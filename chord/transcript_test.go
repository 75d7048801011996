package chord

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// transcript interprets the files in testdata/transcripts. Positions are named
// by two hexadecimal digits, the first of their ID. Messages wait, numbered in
// the order they were sent, until they are delivered. The commands:
//
//	ring want=N ids=(..)   an ideal ring of these positions
//	found id=..            a new position that founds a ring
//	join id=.. via=(..)    a new position that joins through others
//	tick id=.. [via=(..)]  one stabilize interval passes for it
//	reunite id=.. via=..   it ticks until it asks via who follows it
//	deliver [n=..]         deliver the first message, or n, and its answer
//	settle [but=..]        deliver until none is left, but those to some positions
//	crash id=..            it answers no more
//	leave id=..            it says farewell
//	show                   print every position
//
// go test -run Transcript -rewrite writes the outputs anew.
type transcript struct {
	t        *testing.T
	want     int
	machines map[ID]*machine
	dead     map[ID]bool
	waiting  []sent
	out      strings.Builder
}

type sent struct {
	from *machine
	msg  message
}

func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		s := &transcript{t: t, want: 3, machines: make(map[ID]*machine), dead: make(map[ID]bool)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			s.out.Reset()
			s.run(d)
			return s.out.String()
		})
	})
}

func (s *transcript) run(d *datadriven.TestData) {
	switch d.Cmd {
	case "ring":
		d.ScanArgs(s.t, "want", &s.want)
		s.ring(s.peers(d, "ids"))
	case "found", "join":
		m := newMachine(s.peers(d, "id")[0], s.want, d.Cmd == "found")
		s.machines[m.self.ID] = m
		s.after(m, func() { m.tick(s.peers(d, "via")) })
	case "tick":
		m := s.machine(d)
		s.after(m, func() { m.tick(s.peers(d, "via")) })
	case "reunite":
		m := s.machine(d)
		s.after(m, func() {
			m.ticks = 0
			m.reunite(s.peers(d, "via"))
		})
	case "deliver":
		n := 1
		d.MaybeScanArgs(s.t, "n", &n)
		s.deliver(n - 1)
	case "settle":
		but := s.peers(d, "but")
		for range 1000 {
			n := slices.IndexFunc(s.waiting, func(w sent) bool { return !hasPeer(but, w.msg.to.ID) })
			if n < 0 {
				return
			}
			s.deliver(n)
		}
		s.t.Fatalf("%s: the exchange does not end", d.Pos)
	case "crash":
		s.dead[s.machine(d).self.ID] = true
	case "leave":
		m := s.machine(d)
		for _, msg := range m.leave() {
			s.enqueue(m, msg)
		}
	case "show":
		s.show()
	default:
		s.t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
}

func (s *transcript) peers(d *datadriven.TestData, arg string) []Peer {
	var names []string
	if d.HasArg(arg) {
		for _, a := range d.CmdArgs {
			if a.Key == arg {
				names = a.Vals
			}
		}
	}
	var peers []Peer
	for _, name := range names {
		id, err := ParseID(name + strings.Repeat("0", 38))
		require.NoError(s.t, err)
		peers = append(peers, Peer{ID: id, Machine: MachineID{id[0]}})
	}
	return peers
}

func (s *transcript) machine(d *datadriven.TestData) *machine {
	m := s.machines[s.peers(d, "id")[0].ID]
	require.NotNil(s.t, m, d.Pos)
	return m
}

func (s *transcript) ring(ring []Peer) {
	for i, p := range ring {
		m := newMachine(p, s.want, false)
		m.placed = true
		chain := append(slices.Clone(ring[i+1:]), ring[:i]...)
		m.list = successorList(p, s.want, chain)
		m.pred = &chain[len(chain)-1]
		s.machines[p.ID] = m
	}
	s.show()
}

// after runs an input of m and prints what came of it.
func (s *transcript) after(m *machine, input func()) {
	input()
	if m.takeChanged() {
		fmt.Fprintf(&s.out, "  %s\n", describe(m))
	}
	for _, msg := range m.take() {
		s.enqueue(m, msg)
	}
}

func (s *transcript) enqueue(from *machine, msg message) {
	s.waiting = append(s.waiting, sent{from, msg})
	fmt.Fprintf(&s.out, "  send %s\n", arrow(from, msg))
}

func (s *transcript) deliver(n int) {
	if n >= len(s.waiting) {
		s.out.WriteString("nothing waits\n")
		return
	}
	w := s.waiting[n]
	s.waiting = slices.Delete(s.waiting, n, n+1)
	to := s.machines[w.msg.to.ID]
	fmt.Fprintf(&s.out, "%s", arrow(w.from, w.msg))
	if s.dead[to.self.ID] {
		s.out.WriteString(": no answer\n")
		s.after(w.from, func() { w.from.failed(w.msg.token) })
		return
	}
	var reply Reply
	before := s.out.Len()
	s.after(to, func() { reply = to.handle(w.msg.req) })
	effects := s.out.String()[before:]
	rest := s.out.String()[:before]
	s.out.Reset()
	s.out.WriteString(rest + ": " + answer(reply) + "\n" + effects)
	s.after(w.from, func() { w.from.answered(w.msg.token, reply) })
}

func (s *transcript) show() {
	var ids []ID
	for id := range s.machines {
		if !s.dead[id] {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, ID.Compare)
	for _, id := range ids {
		s.machines[id].takeChanged()
		fmt.Fprintln(&s.out, describe(s.machines[id]))
	}
}

func name(id ID) string { return id.String()[:2] }

func names(list []Peer) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = name(p.ID)
	}
	return "[" + strings.Join(out, " ") + "]"
}

func describe(m *machine) string {
	pred := "?"
	if m.pred != nil {
		pred = name(m.pred.ID)
	}
	if m.predDead {
		pred += "(dead)"
	}
	switch {
	case m.left:
		return name(m.self.ID) + ": left"
	case !m.placed:
		return name(m.self.ID) + ": not placed"
	}
	return fmt.Sprintf("%s: predecessor %s successors %s", name(m.self.ID), pred, names(m.list))
}

func arrow(from *machine, msg message) string {
	s := fmt.Sprintf("%s -> %s %s", name(from.self.ID), name(msg.to.ID), msg.req.Kind)
	if msg.req.Kind == KindFind {
		s += " " + name(msg.req.Key) + "+"
	}
	return s
}

func answer(r Reply) string {
	var parts []string
	if r.Err() != nil {
		return r.Err().Error()
	}
	if r.Mine {
		parts = append(parts, "mine")
	}
	if r.Predecessor != nil {
		parts = append(parts, "predecessor "+name(r.Predecessor.ID))
	}
	for _, l := range []struct {
		what string
		list []Peer
	}{{"successors", r.Successors}, {"likely", r.Likely}, {"closer", r.Closer}} {
		if len(l.list) > 0 {
			parts = append(parts, l.what+" "+names(l.list))
		}
	}
	if len(parts) == 0 {
		return "ok"
	}
	return strings.Join(parts, ", ")
}
