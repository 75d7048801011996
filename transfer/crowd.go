package transfer

import (
	"container/heap"
	"container/list"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// crowd is a bounded set of connections of strangers. It turns nobody away: when
// it is full, somebody is sent away to make room, the one who has been there
// longest of the network that has most. So a flood from one network pushes out
// itself, and a member who comes in the middle of it has as long as the flood
// takes to fill the whole crowd once. What one more costs hardly depends on how
// many networks they come from.
type crowd struct {
	most int

	mu    sync.Mutex
	size  int
	next  uint64
	from  map[network]*party
	worst parties // all of from
}

// party is those from one network, at least one.
type party struct {
	strangers list.List // who came first in front
	place     int       // in the heap
}

// first is who came first.
func (p *party) first() *stranger { return p.strangers.Front().Value.(*stranger) }

// parties is a heap, with the one in front whose first has to go first: the largest,
// and of equals the one whose first has been there longest.
type parties []*party

func (p parties) Len() int { return len(p) }

func (p parties) Less(i, j int) bool {
	if a, b := p[i].strangers.Len(), p[j].strangers.Len(); a != b {
		return a > b
	}
	return p[i].first().number < p[j].first().number
}

func (p parties) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].place, p[j].place = i, j
}

// Push adds a party for package heap.
func (p *parties) Push(x any) {
	added := x.(*party)
	added.place = len(*p)
	*p = append(*p, added)
}

// Pop removes the last party for package heap.
func (p *parties) Pop() any {
	last := (*p)[len(*p)-1]
	*p = slices.Delete(*p, len(*p)-1, len(*p))
	return last
}

// stranger is a connection in a crowd.
type stranger struct {
	conn    net.Conn
	away    func() // sends it away
	network network
	number  uint64 // in the order of arrival
	place   *list.Element
	pushed  bool // was sent away
}

func newCrowd(most int) *crowd {
	return &crowd{most: max(most, 1), from: make(map[network]*party)}
}

// enter adds a connection, and calls the away of another one, which closes it, if
// there is no room.
func (c *crowd) enter(conn net.Conn, away func()) *stranger {
	s := &stranger{conn: conn, away: away, network: networkOf(conn.RemoteAddr())}
	c.mu.Lock()
	var out *stranger
	if c.size >= c.most {
		out = c.oust()
	}
	s.number = c.next
	c.next++
	if p := c.from[s.network]; p != nil {
		s.place = p.strangers.PushBack(s)
		heap.Fix(&c.worst, p.place)
	} else {
		p = new(party)
		s.place = p.strangers.PushBack(s)
		c.from[s.network] = p
		heap.Push(&c.worst, p)
	}
	c.size++
	c.mu.Unlock()
	if out != nil {
		out.away()
	}
	return s
}

// leave ends what enter began, and reports whether the stranger was sent away
// meanwhile.
func (c *crowd) leave(s *stranger) (pushed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(s)
	return s.pushed
}

// thin sends away one in n, and at least one if there is any, so that what they
// hold comes back.
func (c *crowd) thin(n int) {
	c.mu.Lock()
	var out []*stranger
	for range (c.size + n - 1) / n {
		out = append(out, c.oust())
	}
	c.mu.Unlock()
	for _, s := range out {
		s.away()
	}
}

// oust takes out who has to go first; c.mu is held and the crowd is not empty.
func (c *crowd) oust() *stranger {
	s := c.worst[0].first()
	c.remove(s)
	s.pushed = true
	return s
}

// remove takes a stranger out, if it is in; c.mu is held.
func (c *crowd) remove(s *stranger) {
	if s.place == nil {
		return
	}
	p := c.from[s.network]
	p.strangers.Remove(s.place)
	s.place = nil
	c.size--
	if p.strangers.Len() > 0 {
		heap.Fix(&c.worst, p.place)
	} else {
		heap.Remove(&c.worst, p.place) // which compares only those that stay
		delete(c.from, s.network)
	}
}

// count is the size of the crowd.
func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// network is what one stranger can be assumed to have all of: one IPv4 address, or
// the 2^64 addresses of an IPv6 network. What has no IP address is its host's name.
type network string

func networkOf(addr net.Addr) network {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		host, _, _ := net.SplitHostPort(addr.String())
		return network(host)
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return network(ip.String())
	}
	p, _ := ip.Prefix(64) // an IPv6 address has that many bits
	return network(p.String())
}
