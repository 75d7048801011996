package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/dhtfs/dhtfs/node/api"
)

// Where a node listens when nobody says otherwise.
const (
	defaultListen = ":24160"
	defaultHTTP   = "127.0.0.1:24161"
)

// listen opens the address that was given or is remembered, or else the
// default one, with any free port when that is busy.
func listen(flag, address, otherwise string) (net.Listener, error) {
	if address == "" {
		if ln, err := listenTCP(otherwise); err == nil {
			return ln, nil
		}
		host, _, _ := net.SplitHostPort(otherwise) // a constant of ours
		address = net.JoinHostPort(host, "0")
	}
	ln, err := listenTCP(address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &api.Error{
			Code:    api.ExitError,
			ID:      "port_busy",
			Message: fmt.Sprintf("another program uses the address %s", address),
			Hint:    fmt.Sprintf("choose another one with --%s ADDR; :0 takes any free port", flag),
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return ln, nil
}

// listenTCP does without the probes that TCP sends on quiet connections: nodes and the
// API notice by themselves who is gone, and setting them up took a quarter of what it
// cost to accept a stranger in a flood.
func listenTCP(address string) (net.Listener, error) {
	quiet := net.ListenConfig{KeepAlive: -1}
	return quiet.Listen(context.Background(), "tcp", address)
}

// listenRing opens the port for other nodes.
func (o *nodeOptions) listenRing() (net.Listener, error) {
	address := o.listen
	if address != "" {
		var err error
		if address, err = hostPort(address, "24160"); err != nil {
			return nil, err
		}
	}
	return listen("listen", address, defaultListen)
}

// listenHTTP opens the port for browsers; nil when it is switched off.
func (o *nodeOptions) listenHTTP() (net.Listener, error) {
	if o.http == "off" {
		return nil, nil
	}
	address := o.http
	if address != "" {
		var err error
		if address, err = hostPort(address, "24161"); err != nil {
			return nil, err
		}
		host, port, _ := net.SplitHostPort(address) // hostPort made it
		if host == "" {
			host = "127.0.0.1"
			address = net.JoinHostPort(host, port)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, notLoopback(o.http)
		}
	}
	ln, err := listen("http", address, defaultHTTP)
	if err != nil {
		return nil, err
	}
	if at, ok := ln.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // a "localhost" that is elsewhere
		_ = ln.Close()
		return nil, notLoopback(ln.Addr().String())
	}
	return ln, nil
}

// notLoopback refuses to serve HTTP to other machines: it is not encrypted, so
// that its token and its sessions could be read on the way.
func notLoopback(address string) error {
	return withHint(usagef("--http %s: only loopback addresses are served, since HTTP is not encrypted", address),
		"to use it from another machine:  ssh -L 24161:127.0.0.1:24161 HOST")
}
