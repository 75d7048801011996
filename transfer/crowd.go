package transfer

import (
	"cmp"
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// crowd is a bounded set of connections of strangers. It turns nobody away: when
// it is full, somebody is sent away to make room, the one who has been there
// longest of the network that has most. So a flood from one network pushes out
// itself, and a member who comes in the middle of it has as long as the flood
// takes to fill the whole crowd once.
type crowd struct {
	most int

	mu   sync.Mutex
	size int
	next uint64
	from map[network]*list.List // of *stranger, who came first in front
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
	return &crowd{most: max(most, 1), from: make(map[network]*list.List)}
}

// enter adds a connection, and calls the away of another one, which closes it, if
// there is no room.
func (c *crowd) enter(conn net.Conn, away func()) *stranger {
	s := &stranger{conn: conn, away: away, network: networkOf(conn.RemoteAddr())}
	c.mu.Lock()
	var out *stranger
	if c.size >= c.most {
		out = c.worst()
		c.remove(out)
		out.pushed = true
	}
	l := c.from[s.network]
	if l == nil {
		l = list.New()
		c.from[s.network] = l
	}
	s.number = c.next
	s.place = l.PushBack(s)
	c.next++
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
		s := c.worst()
		c.remove(s)
		s.pushed = true
		out = append(out, s)
	}
	c.mu.Unlock()
	for _, s := range out {
		s.away()
	}
}

// worst is who has to go first; c.mu is held and the crowd is not empty.
func (c *crowd) worst() *stranger {
	var worst *stranger
	most := 0
	for _, l := range c.from {
		s := l.Front().Value.(*stranger)
		if worst == nil || cmp.Or(cmp.Compare(l.Len(), most), cmp.Compare(worst.number, s.number)) > 0 {
			worst, most = s, l.Len()
		}
	}
	return worst
}

// remove takes a stranger out, if it is in; c.mu is held.
func (c *crowd) remove(s *stranger) {
	if s.place == nil {
		return
	}
	l := c.from[s.network]
	l.Remove(s.place)
	s.place = nil
	c.size--
	if l.Len() == 0 {
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
