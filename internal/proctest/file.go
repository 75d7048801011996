//go:build unix

package proctest

import (
	"testing"
)

// File is what stat --json tells of a stored file.
type File struct {
	Name      string
	Key       string
	Size      int64
	SHA256    string
	Copies    int
	Want      int
	Confirmed bool
	Holders   []Holder
}

// Holder is a node that has, or should have, a copy.
type Holder struct {
	Name  string
	ID    string
	State string
	Voter bool
}

// Durable returns the names of the nodes that hold the file durably.
func (f File) Durable() []string {
	var names []string
	for _, h := range f.Holders {
		if h.State == "durable" {
			names = append(names, h.Name)
		}
	}
	return names
}

// Stat asks a node about a file that is stored.
func (n *Node) Stat(t testing.TB, name string) (f File) {
	t.Helper()
	n.Run(t, "stat", "--json", name).OK(t).JSON(t, &f)
	return f
}
