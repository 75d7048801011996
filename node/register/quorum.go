package register

import "github.com/dhtfs/dhtfs/filestore"

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

func majorityOf(l []filestore.MachineID, has func(filestore.MachineID) bool) bool {
	n := 0
	for _, m := range l {
		if has(m) {
			n++
		}
	}
	return n >= Majority(len(l))
}
