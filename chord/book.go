package chord

import (
	"math/rand/v2"
	"time"
)

// How many peers are remembered, and how long one that was heard of counts as a
// route, or one that failed as suspect.
const (
	maxRemembered = 4096
	routeFresh    = 10 * time.Minute
	suspectFor    = 5 * time.Second
)

// book remembers peers, for joining, reunion and as a route cache, and how each
// machine has answered. It is guarded by Ring.mu.
type book struct {
	peers    []Peer
	index    map[ID]int // into peers
	own      MachineID
	health   map[MachineID]*health
	rng      *rand.Rand
	min, max time.Duration // of a time-out
}

// health is what is known of a machine's round trips: RFC 6298, section 2.
type health struct {
	srtt, rttvar time.Duration
	strikes      int       // time-outs in a row
	heard        time.Time // it answered or called
	failed       time.Time // it last failed to answer
	silent       time.Time // the first of the calls in a row that it did not answer; zero: it answered the last
}

func newBook(c Config) *book {
	return &book{
		index: make(map[ID]int), own: c.Positions[0].Machine,
		health: make(map[MachineID]*health),
		rng:    rand.New(rand.NewPCG(c.Seed, 0)),
		min:    c.MinTimeout, max: c.MaxTimeout,
	}
}

// remember adds peers or takes their new addresses. A full book loses a random
// other one.
func (b *book) remember(peers ...Peer) {
	for _, p := range peers {
		if p.Machine == b.own {
			continue
		}
		i, ok := b.index[p.ID]
		if !ok && len(b.peers) < maxRemembered {
			i = len(b.peers)
			b.peers = append(b.peers, p)
		} else if !ok {
			i = b.rng.IntN(len(b.peers))
			delete(b.index, b.peers[i].ID)
		}
		b.peers[i], b.index[p.ID] = p, i
	}
}

// forget removes all positions of a machine.
func (b *book) forget(id MachineID) {
	delete(b.health, id)
	for i := len(b.peers) - 1; i >= 0; i-- {
		if b.peers[i].Machine == id {
			delete(b.index, b.peers[i].ID)
			last := len(b.peers) - 1
			if b.peers[i] = b.peers[last]; i != last {
				b.index[b.peers[i].ID] = i
			}
			b.peers = b.peers[:last]
		}
	}
}

// sample returns up to n different remembered peers in random order, those that
// failed lately last.
func (b *book) sample(n int, now time.Time) []Peer {
	var good, bad []Peer
	for _, i := range b.rng.Perm(len(b.peers)) {
		if p := b.peers[i]; b.suspect(p, now) {
			bad = append(bad, p)
		} else {
			good = append(good, p)
		}
	}
	good = append(good, bad...)
	return good[:min(n, len(good))]
}

// routes returns, of the peers heard from lately, the first at or after key and
// the n nearest before it, and how many there are in all.
func (b *book) routes(key ID, n int, now time.Time) (after []Peer, before []Peer, known int) {
	for _, p := range b.peers {
		h := b.health[p.Machine]
		if h == nil || now.Sub(h.heard) > routeFresh || b.suspect(p, now) {
			continue
		}
		known++
		if len(after) == 0 || key.Distance(p.ID).Compare(key.Distance(after[0].ID)) < 0 {
			after = []Peer{p}
		}
		i := len(before)
		for i > 0 && p.ID.Distance(key).Compare(before[i-1].ID.Distance(key)) < 0 {
			i--
		}
		if i < n {
			before = append(before[:i], append([]Peer{p}, before[i:]...)...)
			before = before[:min(n, len(before))]
		}
	}
	return after, before, known
}

// suspect reports whether p's machine failed lately and has not been heard since.
func (b *book) suspect(p Peer, now time.Time) bool {
	h := b.health[p.Machine]
	return h != nil && h.failed.After(h.heard) && now.Sub(h.failed) < suspectFor
}

func (b *book) of(id MachineID) *health {
	h := b.health[id]
	if h == nil {
		h = &health{}
		b.health[id] = h
	}
	return h
}

// heard notes that a machine spoke, and the round trip if it answered a call.
func (b *book) heard(p Peer, rtt time.Duration, now time.Time) {
	b.remember(p)
	h := b.of(p.Machine)
	h.heard, h.strikes = now, 0
	if rtt <= 0 {
		return
	}
	h.silent = time.Time{}
	if h.srtt == 0 {
		h.srtt, h.rttvar = rtt, rtt/2
		return
	}
	h.rttvar += ((h.srtt - rtt).Abs() - h.rttvar) / 4
	h.srtt += (rtt - h.srtt) / 8
}

// missed notes a try that got no answer.
func (b *book) missed(p Peer, now time.Time) {
	h := b.of(p.Machine)
	h.failed = now
	h.strikes++
	if h.silent.IsZero() {
		h.silent = now
	}
}

// timeout is the time to allow for one try; it doubles with each one missed.
func (b *book) timeout(p Peer) time.Duration {
	d, strikes := 2*b.min, 0
	if h := b.health[p.Machine]; h != nil {
		strikes = min(h.strikes, 8)
		if h.srtt > 0 {
			d = h.srtt + 4*h.rttvar
		}
	}
	return min(max(d, b.min)<<strikes, b.max)
}
