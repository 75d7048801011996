package register_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

func TestMajority(t *testing.T) {
	for n := 1; n <= 9; n++ {
		m := register.Majority(n)
		assert.Greater(t, 2*m, n, "two of them intersect")
		assert.LessOrEqual(t, 2*(m-1), n, "none is larger than it must be")
	}
}

func TestQuorum(t *testing.T) {
	moving := joint(ids(0, 1, 2), ids(2, 3, 4))
	for _, test := range []struct {
		name   string
		voters filestore.Voters
		have   []filestore.MachineID
		want   bool
	}{
		{"nobody votes", filestore.Voters{}, ids(0, 1, 2), false},
		{"nobody is to vote", joint(ids(0, 1, 2), nil), ids(0, 1, 2), false},
		{"one of one", voters(0), ids(0), true},
		{"one of two", voters(0, 1), ids(0), false},
		{"two of two", voters(0, 1), ids(0, 1), true},
		{"two of three", voters(0, 1, 2), ids(0, 2), true},
		{"one of three and a stranger", voters(0, 1, 2), ids(0, 5), false},
		{"the old ones alone", moving, ids(0, 1, 2), false},
		{"the new ones alone", moving, ids(2, 3, 4), false},
		{"a majority of each", moving, ids(0, 1, 3, 4), true},
		{"one counts on both sides", moving, ids(0, 2, 4), true},
		{"four, but one of the new ones", joint(ids(0, 1, 2), ids(3, 4, 5)), ids(0, 1, 2, 3), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			has := func(m filestore.MachineID) bool { return slices.Contains(test.have, m) }
			assert.Equal(t, test.want, register.Quorum(test.voters, has))
		})
	}
}
