package register

import (
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
)

// Majority is the smallest number of n voters of which any two sets intersect.
func Majority(n int) int { return n/2 + 1 }

// Quorum reports whether the machines for which has answers true are a
// majority of the list, of each of its parts where it is joint.
func Quorum(v filestore.Voters, has func(filestore.MachineID) bool) bool {
	if len(v.New) == 0 {
		return false
	}
	return majorityOf(v.New, has) && (!v.Joint() || majorityOf(v.Old, has))
}

// IsChosen reports whether a record is chosen which the machines that has names have
// accepted under a ballot: all voters where the ballot is fast, else a majority.
func IsChosen(v filestore.Voters, at filestore.Ballot, has func(filestore.MachineID) bool) bool {
	hasNot := func(m filestore.MachineID) bool { return !has(m) }
	return Quorum(v, has) && (!at.Fast || !slices.ContainsFunc(v.New, hasNot) && !slices.ContainsFunc(v.Old, hasNot))
}

func majorityOf(l []filestore.MachineID, has func(filestore.MachineID) bool) bool {
	n := 0
	for _, m := range l {
		if has(m) {
			n++
		}
	}
	return n >= Majority(len(l))
}
