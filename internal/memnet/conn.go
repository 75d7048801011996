package memnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much a direction holds before a write waits.
const window = 256 << 10

// segment is what one write sent.
type segment struct {
	data []byte
	at   time.Time // when it arrives
}

// pipe is one direction of a connection.
type pipe struct {
	n        *Network
	from, to string

	mu      sync.Mutex
	queue   []segment
	size    int
	last    time.Time     // when the last segment arrives
	ended   bool          // the writer has closed: EOF after the queue
	err     error         // both ends fail with it at once
	changed chan struct{} // closed and replaced when any of this changes
}

func newPipe(n *Network, from, to string) *pipe {
	return &pipe{n: n, from: from, to: to, changed: make(chan struct{})}
}

// update changes the pipe and wakes whoever waits for it.
func (p *pipe) update(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// put queues what fits; zero bytes mean that nothing did.
func (p *pipe) put(b []byte) (n int, changed <-chan struct{}, err error) {
	_, delay, _ := p.n.state(p.from, p.to)
	p.n.mu.Lock()
	bandwidth := p.n.conditions(p.from, p.to).bandwidth
	p.n.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return 0, nil, p.err
	case p.ended:
		return 0, nil, io.ErrClosedPipe
	}
	n = min(len(b), window-p.size)
	if n == 0 {
		return 0, p.changed, nil
	}
	now := time.Now()
	at := now.Add(delay)
	if bandwidth > 0 {
		from := now
		if p.last.After(at) {
			from = p.last.Add(-delay)
		}
		at = from.Add(delay + time.Duration(float64(n)/float64(bandwidth)*float64(time.Second)))
	}
	if p.last.After(at) {
		at = p.last // in order
	}
	p.last = at
	p.queue = append(p.queue, segment{append([]byte(nil), b[:n]...), at})
	p.size += n
	p.n.count(p.from, p.to, n)
	close(p.changed)
	p.changed = make(chan struct{})
	return n, nil, nil
}

// get takes what has arrived; if nothing has, it says when something will and what
// to wait for.
func (p *pipe) get(b []byte) (n int, until time.Time, wait [2]<-chan struct{}, err error) {
	open, _, conditions := p.n.state(p.from, p.to)
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = [2]<-chan struct{}{p.changed, conditions}
	switch {
	case p.err != nil:
		return 0, until, wait, p.err
	case !open:
		return 0, until, wait, nil
	case len(p.queue) == 0 && p.ended:
		return 0, until, wait, io.EOF
	case len(p.queue) == 0:
		return 0, until, wait, nil
	}
	head := &p.queue[0]
	if head.at.After(time.Now()) {
		return 0, head.at, wait, nil
	}
	n = copy(b, head.data)
	head.data = head.data[n:]
	if len(head.data) == 0 {
		p.queue = p.queue[1:]
	}
	p.size -= n
	close(p.changed)
	p.changed = make(chan struct{})
	return n, until, wait, nil
}

// conn is one end of a connection.
type conn struct {
	n             *Network
	in, out       *pipe
	local, remote addr
	twin          *conn
	read, write   deadline
	once          sync.Once
	closed        chan struct{}
}

func newConn(n *Network, in, out *pipe, local, remote addr) *conn {
	return &conn{
		n: n, in: in, out: out, local: local, remote: remote, closed: make(chan struct{}),
		read: newDeadline(), write: newDeadline(),
	}
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) opError(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// stopped tells why an operation may not go on.
func (c *conn) stopped(d *deadline) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	select {
	case <-d.passed():
		return os.ErrDeadlineExceeded
	default:
	}
	return nil
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		if err := c.stopped(&c.read); err != nil {
			return 0, c.opError("read", err)
		}
		n, until, wait, err := c.in.get(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, c.opError("read", err)
		}
		var arrives <-chan time.Time
		var timer *time.Timer
		if !until.IsZero() {
			timer = time.NewTimer(time.Until(until))
			arrives = timer.C
		}
		select {
		case <-wait[0]:
		case <-wait[1]:
		case <-arrives:
		case <-c.closed:
		case <-c.read.passed():
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

func (c *conn) Write(b []byte) (written int, err error) {
	for {
		if err := c.stopped(&c.write); err != nil {
			return written, c.opError("write", err)
		}
		if written == len(b) {
			return written, nil
		}
		n, changed, err := c.out.put(b[written:])
		written += n
		if err != nil {
			return written, c.opError("write", err)
		}
		if n > 0 {
			continue
		}
		select {
		case <-changed:
		case <-c.closed:
		case <-c.write.passed():
		}
	}
}

// Close lets the other end read what was sent, then EOF; what it writes from then
// on fails. If this end has not read all that came, the other end is reset instead
// and loses what it has not read, as TCP has it.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = nil
		close(c.closed)
		unread := false
		c.in.update(func() {
			unread = len(c.in.queue) > 0
			c.in.ended, c.in.queue, c.in.size = true, nil, 0
		})
		c.out.update(func() {
			c.out.ended = true
			if unread && c.out.err == nil {
				c.out.err, c.out.queue, c.out.size = syscall.ECONNRESET, nil, 0
			}
		})
		c.n.remove(c)
	})
	return c.opError("close", err)
}

// CloseWrite lets the other end read what was sent, then EOF.
func (c *conn) CloseWrite() error {
	c.out.update(func() { c.out.ended = true })
	return nil
}

// abort fails both ends at once.
func (c *conn) abort(err error) {
	c.n.remove(c)
	c.n.remove(c.twin)
	for _, p := range []*pipe{c.in, c.out} {
		p.update(func() {
			if p.err == nil {
				p.err, p.queue, p.size = err, nil, 0
			}
		})
	}
}

// vanish fails this end only; the other hears nothing more.
func (c *conn) vanish() {
	c.once.Do(func() { close(c.closed) })
}

func (c *conn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return nil
}
