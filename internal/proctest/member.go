//go:build unix

package proctest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Try runs a command that may fail, and returns what it said if it does.
func (n *Node) Try(t testing.TB, args ...string) (Result, error) {
	t.Helper()
	r := n.Run(t, args...)
	if r.Code != 0 {
		return r, errors.New(r.String())
	}
	return r, nil
}

// WaitEnded waits until a daemon that ends by itself has.
func (n *Node) WaitEnded(t testing.TB, pid int) {
	t.Helper()
	waitEnded(t, pid)
}

// Lose removes the node's home, whose daemon has ended.
func (n *Node) Lose(t testing.TB) {
	t.Helper()
	require.Zero(t, n.running(), "%s runs", n.Name)
	require.NoError(t, os.RemoveAll(n.Home))
}

// CountsMembers tells whether the node knows so many members.
func (n *Node) CountsMembers(t testing.TB, want int) error {
	t.Helper()
	r, err := n.Try(t, "status", "--json")
	if err != nil {
		return err
	}
	var status struct{ Members int }
	r.JSON(t, &status)
	if status.Members != want {
		return fmt.Errorf("%s counts %d members, not %d", n.Name, status.Members, want)
	}
	return nil
}
