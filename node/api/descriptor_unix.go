//go:build unix

package api

import (
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// takingListener accepts connections that open files arrive on.
type takingListener struct{ *net.UnixListener }

// Accept waits for the next connection.
func (l takingListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &takingConn{UnixConn: conn}, nil
}

// takesFiles makes the connections of a listener on a unix socket take open files.
func takesFiles(ln net.Listener) net.Listener {
	if u, ok := ln.(*net.UnixListener); ok {
		return takingListener{u}
	}
	return ln
}

// takingConn keeps the open file that came last.
type takingConn struct {
	*net.UnixConn

	mu   sync.Mutex
	file *os.File
}

// Read reads bytes, and what comes along with them.
func (c *takingConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var room [64]byte // for one descriptor; the system closes those that have no room
	n, k, _, _, err := c.ReadMsgUnix(p, room[:unix.CmsgSpace(4)])
	if k > 0 {
		c.keep(room[:k])
	}
	return n, err
}

func (c *takingConn) keep(ancillary []byte) {
	messages, err := unix.ParseSocketControlMessage(ancillary)
	if err != nil {
		return
	}
	for i := range messages {
		descriptors, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, d := range descriptors {
			c.put(os.NewFile(uintptr(d), "file of the caller"))
		}
	}
}

// put keeps f in place of what was kept.
func (c *takingConn) put(f *os.File) {
	c.mu.Lock()
	old := c.file
	c.file = f
	c.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
}

// takingAddr is the address of a takingConn.
type takingAddr struct {
	net.Addr
	*takingConn
}

// Network and String are those of the address.
func (a takingAddr) Network() string { return a.Addr.Network() }
func (a takingAddr) String() string  { return a.Addr.String() }

// LocalAddr returns an address that leads back to the connection.
func (c *takingConn) LocalAddr() net.Addr { return takingAddr{c.UnixConn.LocalAddr(), c} }

func (c *takingConn) takeFile() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.file
	c.file = nil
	return f
}

// Close closes the connection and the file that nobody took.
func (c *takingConn) Close() error {
	c.put(nil)
	return c.UnixConn.Close()
}

// sendsFiles makes a connection to a unix socket one that open files can be sent on.
func sendsFiles(conn net.Conn) net.Conn {
	if u, ok := conn.(*net.UnixConn); ok {
		return &sendingConn{UnixConn: u}
	}
	return conn
}

// sendingConn sends an open file along with the next bytes.
type sendingConn struct {
	*net.UnixConn

	mu   sync.Mutex
	file *os.File
}

func (c *sendingConn) attach(f *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.file = f
}

// Write writes p, the attached file with its first byte.
func (c *sendingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	f := c.file
	c.file = nil
	c.mu.Unlock()
	if f == nil || len(p) == 0 {
		return c.UnixConn.Write(p)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var failure error
	err = raw.Control(func(fd uintptr) {
		n, _, failure = c.WriteMsgUnix(p, unix.UnixRights(int(fd)), nil)
	})
	if err == nil {
		err = failure
	}
	if err != nil || n == len(p) {
		return n, err
	}
	k, err := c.UnixConn.Write(p[n:])
	return n + k, err
}
