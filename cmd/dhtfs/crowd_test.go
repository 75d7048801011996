//go:build unix

package main

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// crowd opens connections to an address that say nothing, as many as it will
// take, and returns what closes them.
func crowd(t testing.TB, address string, most int) (disperse func()) {
	t.Helper()
	var all []net.Conn
	for range most {
		c, err := net.DialTimeout("tcp", address, 2*time.Second)
		if err != nil {
			break
		}
		all = append(all, c)
	}
	require.NotEmpty(t, all)
	return func() {
		for _, c := range all {
			_ = c.Close()
		}
	}
}
