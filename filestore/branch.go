package filestore

import "slices"

// Branch names a line of changes within which each record was decided on by a
// majority that knew the one before. A name has one branch, unless it was
// created on both sides of a split or its voters were replaced without their
// majority: then two records may follow from different ones, or from none.
type Branch [16]byte

// Seen says that a record takes account of another branch's records up to a
// ballot: it follows from them, or they are stored beside it.
type Seen struct {
	Branch Branch `cbor:"1,keyasint"`
	UpTo   Ballot `cbor:"2,keyasint"`
}

// MaxSeen is how many other branches, and how many conflicts, a record
// remembers. What it forgets may be stored beside it once more.
const MaxSeen = 16

// Origin is the version that a conflict copy was made of: what the operation Op
// stored under Name. The publisher's signature on the copy is that on the
// original.
type Origin struct {
	Name string `cbor:"1,keyasint"`
	Op   OpID   `cbor:"2,keyasint"`
}

// Remembers reports whether the operation is among the last changes of r's name.
func (r *Record) Remembers(op OpID) bool {
	return slices.ContainsFunc(r.History, func(c Change) bool { return c.Op == op })
}
