//go:build !unix

package api

import "net"

// Open files cannot be sent here; their bytes are.

func takesFiles(ln net.Listener) net.Listener { return ln }

func sendsFiles(conn net.Conn) net.Conn { return conn }
