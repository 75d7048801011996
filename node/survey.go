package node

import (
	"bytes"

	"github.com/dhtfs/dhtfs/filestore"
)

// survey is what a node found when it last looked at its own registers in an
// arc, piece by piece, so that it need not look again at what has not changed.
type survey struct {
	judgedBy []byte // the circumstances; see circumstances
	pieces   row
	found    []finding // for each piece
}

// finding is a piece in which every name was as it should be.
type finding struct {
	good bool
	sum  filestore.Fingerprint
	live map[MachineID]int // names that each machine should hold
}

// surveyOf returns the survey of a place, a new one when the circumstances have
// changed or the arc wants other pieces.
func (n *Node) surveyOf(p place) *survey {
	pieces := []arc{p.arc}
	_, count := n.fingerprint(p.arc)
	for size := 4 * listUpTo; count > size && len(pieces) < arcParts*arcParts; size *= arcParts {
		var smaller []arc
		for _, a := range pieces {
			smaller = append(smaller, a.split()...)
		}
		pieces = smaller
	}
	by := n.circumstances(p)
	s := n.repair.surveys[p.UpTo]
	if s == nil || !bytes.Equal(s.judgedBy, by) || len(s.pieces.arcs) != len(pieces) {
		s = &survey{judgedBy: by, pieces: newRow(p.After, pieces), found: make([]finding, len(pieces))}
		n.repair.surveys[p.UpTo] = s
	}
	return s
}

// circumstances are all that a name's condition depends on beside its registers:
// what target goes by.
func (n *Node) circumstances(p place) []byte {
	b := append([]byte{byte(p.Want)}, p.After[:]...)
	for _, m := range machinesOf(p.group()) {
		b = append(b, m[:]...)
	}
	for _, x := range n.members.all() {
		b = append(b, x.Machine[:]...)
		if n.members.isLeaving(x.Machine) {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

// look returns which pieces are to be looked at: those that have changed since
// they were good, and those where somebody differs. It notes their fingerprints
// in findings that are not good yet.
func (n *Node) look(s *survey, answers []compared) (pieces []int) {
	differs := make([]bool, len(s.pieces.arcs))
	for _, c := range answers {
		for _, d := range c.differ {
			for i, a := range s.pieces.arcs {
				differs[i] = differs[i] || a.meets(d.arc)
			}
		}
	}
	for i, a := range s.pieces.arcs {
		sum, _ := n.fingerprint(a)
		if f := &s.found[i]; differs[i] || !f.good || f.sum != sum {
			*f = finding{good: true, sum: sum, live: map[MachineID]int{}}
			pieces = append(pieces, i)
		}
	}
	return pieces
}
