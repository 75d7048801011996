package chord

// machine is the protocol state of one position, without clock, goroutine,
// randomness or I/O. Its inputs are tick, handle, answered, failed, doubt and
// leave; its outputs are the messages that take returns, each of which must be
// answered by one call of answered or failed with its token. A machine is not
// safe for concurrent use.
type machine struct {
	self     Peer
	want     int  // other machines that the successor list names
	mayFound bool // may decide that it is a ring of one
	breaks   breaks

	placed bool
	left   bool
	list   []Peer // successors

	pred       *Peer
	predDead   bool  // it did not answer when last asked
	predHeard  bool  // it spoke since the last tick
	challenger *Peer // notified us while pred was being asked

	round     *round
	again     bool  // another round is wanted after this one
	candidate *Peer // to be asked first in the next round

	joining    *search
	joinTries  int
	reuniting  *search
	fixing     *search
	fingers    [Bits]*Peer
	nextFinger int
	swept      bool // every finger was looked up at least once
	ticks      int

	token   uint64
	pending map[uint64]pending
	out     []message
	changed bool // pred, list or placed changed since takeChanged
}

// breaks takes single rules out of the protocol, so that tests can show that
// the simulation notices. The zero value is the protocol.
type breaks struct {
	hearsay   bool // adopt a successor's predecessor without asking it
	shortJoin bool // on joining copy one successor, not the list
	noReunion bool
}

// purpose says what a message was sent for.
type purpose uint8

const (
	forRound purpose = iota // stabilize
	forCheck                // is the predecessor alive?
	forCourt                // may this peer be our predecessor?
	forFind                 // a step of a search
)

// pending is a message that has not been answered yet.
type pending struct {
	to     Peer
	why    purpose
	search *search
}

// message is a request to be sent. Token 0 means that the answer is not wanted.
// When confirm is set a time-out should be confirmed by a second try before it
// is reported as a failure.
type message struct {
	token   uint64
	to      Peer
	req     Request
	confirm bool
}

// Every so many ticks.
const (
	reuniteEvery  = 4 // or less often in a large ring, see reunionIn
	reuniteSeldom = 64
	fingerEvery   = 4
)

func newMachine(self Peer, want int, mayFound bool) *machine {
	return &machine{
		self: self, want: want, mayFound: mayFound,
		nextFinger: Bits - 1, pending: make(map[uint64]pending),
	}
}

// wantsVias reports whether the next tick has use for remembered peers.
func (m *machine) wantsVias() bool { return !m.left && (!m.placed || m.reunionIn(m.ticks+1)) }

// tick does what is due once a stabilize interval. vias are remembered peers in
// random order, none of them this position; see wantsVias.
func (m *machine) tick(vias []Peer) {
	switch {
	case m.left:
		return
	case !m.placed:
		m.join(vias)
		return
	}
	m.ticks++
	if m.round == nil {
		m.stabilize()
	}
	if !m.predHeard {
		m.checkPredecessor()
	}
	m.predHeard = false
	m.reunite(vias)
	m.fixFinger()
}

// handle serves a request that was addressed to this position.
func (m *machine) handle(req Request) Reply {
	switch {
	case m.left:
		return Reply{From: m.self, Refusal: RefusedLeaving}
	case !m.placed:
		return Reply{From: m.self, Refusal: RefusedNotPlaced}
	}
	m.met(req.From)
	reply := Reply{From: m.self}
	switch req.Kind {
	case KindState:
		return m.state()
	case KindNotify:
		m.notified(req.From)
	case KindFind:
		return m.find(req.Key)
	case KindPing:
	case KindLeaving:
		m.leaving(req)
	case KindNudge:
		m.stabilize()
	default:
		reply.Refusal = RefusedUnknown
	}
	return reply
}

// state answers KindState. A predecessor that is thought dead is not named.
func (m *machine) state() Reply {
	reply := Reply{From: m.self, Successors: m.list}
	if m.pred != nil && !m.predDead {
		reply.Predecessor = clonePeer(m.pred)
	}
	return reply
}

// answered hands in the reply to the message with that token. A refusal, or an
// answer for another position, says that the position is dead and its machine
// alive.
func (m *machine) answered(token uint64, reply Reply) {
	p, ok := m.settle(token)
	if !ok {
		return
	}
	if reply.Refusal != NotRefused || reply.From.ID != p.to.ID {
		m.lost(p, false)
		return
	}
	m.met(reply.From)
	switch p.why {
	case forRound:
		m.roundAnswered(reply)
	case forCheck:
		m.predecessorAnswered()
	case forCourt:
		m.courtAnswered(reply.From)
	case forFind:
		p.search.answer(reply)
		m.pursue(p.search)
	}
}

// failed says that the message with that token got no answer.
func (m *machine) failed(token uint64) {
	if p, ok := m.settle(token); ok {
		m.lost(p, true)
	}
}

// lost notes that p.to did not answer; whole, that its machine did not.
func (m *machine) lost(p pending, whole bool) {
	m.dropFingers(p.to, whole)
	switch p.why {
	case forRound:
		m.roundLost(p.to, whole)
	case forCheck:
		m.predecessorLost(p.to)
	case forCourt:
	case forFind:
		p.search.fail()
		m.pursue(p.search)
	}
}

// doubt says that a machine failed to answer somebody else here. Neighbours on
// it are asked at once; nothing is taken for granted.
func (m *machine) doubt(id MachineID) {
	if !m.placed || m.left {
		return
	}
	if len(m.list) > 0 && m.list[0].Machine == id && m.round == nil {
		m.stabilize()
	}
	if m.pred != nil && m.pred.Machine == id {
		m.checkPredecessor()
	}
}

// met takes the address that p itself gave.
func (m *machine) met(p Peer) {
	if m.pred != nil && m.pred.ID == p.ID {
		m.predHeard = true
		if *m.pred != p {
			m.pred, m.changed = &p, true
		}
	}
	for i, q := range m.list {
		if q.ID == p.ID && q != p {
			list := append([]Peer(nil), m.list...)
			list[i] = p
			m.setList(list)
		}
	}
}

// setList replaces the successor list; the slice is never written again.
func (m *machine) setList(list []Peer) {
	same := len(list) == len(m.list)
	for i := 0; same && i < len(list); i++ {
		same = list[i] == m.list[i]
	}
	if !same {
		m.list, m.changed = list, true
	}
}

// alone reports whether this position takes itself for the whole ring.
func (m *machine) alone() bool { return m.placed && len(m.list) == 0 && m.pred == nil }

// spans reports whether the successor list names every position on the ring.
func (m *machine) spans() bool {
	return len(m.list) < maxList && machinesIn(m.self, m.list) < m.want
}

// ask sends a request whose answer matters.
func (m *machine) ask(to Peer, kind Kind, why purpose) {
	m.token++
	m.pending[m.token] = pending{to: to, why: why}
	m.out = append(m.out, message{
		token: m.token, to: to, confirm: true,
		req: Request{Kind: kind, To: to.ID, From: m.self},
	})
}

// tell sends a request whose answer does not matter.
func (m *machine) tell(to Peer, kind Kind) {
	m.out = append(m.out, message{to: to, req: Request{Kind: kind, To: to.ID, From: m.self}})
}

func (m *machine) settle(token uint64) (pending, bool) {
	p, ok := m.pending[token]
	delete(m.pending, token)
	return p, ok && !m.left
}

// take returns the messages to be sent, once.
func (m *machine) take() []message {
	out := m.out
	m.out = nil
	return out
}

// takeChanged reports, once, that the neighbours changed.
func (m *machine) takeChanged() bool {
	changed := m.changed
	m.changed = false
	return changed
}
