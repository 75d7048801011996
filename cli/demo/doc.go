// Package demo plays what dhtfs is for on one machine, with nothing faked:
// daemons of their own, each a process with a home and a port, told what to do
// by the very commands that a user types.
//
// [Run] founds a ring, lets the other nodes join it by invite, stores files,
// shows who holds what, kills one daemon with SIGKILL, fetches everything
// through another one and compares every byte, shows the ring, logs one node
// out, fetches and compares once more, and reports what it measured.
//
// Whatever happens, an error and a cancelled context included, the daemons are
// ended and the files removed before Run returns, unless they are to be kept.
// Only what runs when this process is itself killed with SIGKILL stays behind.
//
// All nodes share one machine, so the figures say that it works, not how fast
// a network of machines would be.
package demo
