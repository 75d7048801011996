package memnet

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// addr is a net.Addr.
type addr struct {
	host string
	port int
}

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// listener is a net.Listener.
type listener struct {
	n      *Network
	addr   addr
	queue  chan *conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
}

// Close also resets the connections that nobody has accepted.
func (l *listener) Close() error {
	err := errors.New("listener is closed")
	l.once.Do(func() {
		err = nil
		l.n.mu.Lock()
		delete(l.n.listeners, l.addr.String())
		l.n.mu.Unlock()
		close(l.closed)
		for {
			select {
			case c := <-l.queue:
				c.abort(syscall.ECONNRESET)
			default:
				return
			}
		}
	})
	return err
}
