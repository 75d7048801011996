package filestore

import (
	"bytes"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// RecordFormat is the Format of the records written by this version.
const RecordFormat = 1

// HistoryLen is how many of the last changes a Record remembers.
const HistoryLen = 16

// Result is the outcome of a change as its record remembers it. The numbers
// are on disks and on the wire: append only. Zero is no result.
type Result uint8

const (
	ResultStored    Result = 1 // the content was stored
	ResultIdentical Result = 2 // the same content was there already
	ResultExists    Result = 3 // refused: other content was there
	ResultDeleted   Result = 4 // a tombstone was written
	ResultNotFound  Result = 5 // refused: nothing was there
	ResultReplaced  Result = 6 // the content was stored in place of another
)

// Change is one entry of a record's history.
type Change struct {
	Op     OpID   `cbor:"1,keyasint"`
	Result Result `cbor:"2,keyasint"`
}

// Record is the value of a name's register: what the name stands for, or a
// tombstone. A Record is immutable once it has been handed to a Store; its
// slices are shared, so change a Clone.
//
// Format, Name, Op, Deleted, Size, SHA256, Root, Mode, Modified and Publisher are
// the publisher's statement, which its signature covers; see [Record.Statement].
// The rest is the voters' and changes while the statement stays: the register
// moves, or remembers that an operation was refused.
type Record struct {
	Format    uint8     `cbor:"1,keyasint"`
	Name      string    `cbor:"2,keyasint"`
	Op        OpID      `cbor:"3,keyasint"`            // the change that wrote this content or tombstone
	Deleted   bool      `cbor:"4,keyasint,omitempty"`  // a tombstone: Size, SHA256 and Root are zero
	DeletedAt int64     `cbor:"5,keyasint,omitempty"`  // Unix nanoseconds, the coordinator's clock
	Size      int64     `cbor:"6,keyasint,omitempty"`  // bytes
	SHA256    Hash      `cbor:"7,keyasint"`            // of the whole content
	Root      Hash      `cbor:"8,keyasint"`            // see RootOf
	Mode      uint32    `cbor:"9,keyasint,omitempty"`  // permission bits, 0777 at most; zero is 0644
	Modified  int64     `cbor:"10,keyasint,omitempty"` // Unix nanoseconds; zero is unknown
	Stored    int64     `cbor:"11,keyasint,omitempty"` // Unix nanoseconds, the coordinator's clock: for people only
	Publisher MachineID `cbor:"12,keyasint"`           // who stored this content, or deleted the name
	Signature []byte    `cbor:"13,keyasint,omitempty"` // the publisher's, of Statement; opaque here
	Voters    Voters    `cbor:"14,keyasint"`
	Changes   uint64    `cbor:"15,keyasint,omitempty"` // how many changes this name has seen
	History   []Change  `cbor:"16,keyasint,omitempty"` // the last HistoryLen of them, oldest first
	Forced    bool      `cbor:"17,keyasint,omitempty"` // the voters were moved without the old majority
	Copies    uint8     `cbor:"18,keyasint,omitempty"` // copies wanted, where that is more than there are voters
	Branch    Branch    `cbor:"19,keyasint,omitzero"`
	Seen      []Seen    `cbor:"20,keyasint,omitempty"` // other branches, each once, at most MaxSeen
	Conflicts []OpID    `cbor:"21,keyasint,omitempty"` // the last versions that lost a conflict and were stored beside this name
	Origin    *Origin   `cbor:"22,keyasint,omitempty"` // of a conflict copy
	// DeletedRing is DeletedAt by the ring's own clock: the seconds that it had run.
	DeletedRing int64 `cbor:"24,keyasint,omitempty"`
}

// Wanted is the number of copies that there should be of the record's content:
// one at each voter, and those beyond them that were asked for.
func (r *Record) Wanted() int { return max(len(r.Voters.New), int(r.Copies)) }

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	if r == nil {
		return nil
	}
	c := *r
	c.Signature = slices.Clone(r.Signature)
	c.History = slices.Clone(r.History)
	c.Voters = r.Voters.Clone()
	c.Seen = slices.Clone(r.Seen)
	c.Conflicts = slices.Clone(r.Conflicts)
	if r.Origin != nil {
		origin := *r.Origin
		c.Origin = &origin
	}
	return &c
}

// SameContent reports whether r and o are both live and name the same bytes.
func (r *Record) SameContent(o *Record) bool {
	return r != nil && o != nil && !r.Deleted && !o.Deleted &&
		r.SHA256 == o.SHA256 && r.Size == o.Size && r.Root == o.Root
}

// statement is what a publisher signs. The keys are those of Record.
type statement struct {
	Format    uint8     `cbor:"1,keyasint"`
	Name      string    `cbor:"2,keyasint"`
	Op        OpID      `cbor:"3,keyasint"`
	Deleted   bool      `cbor:"4,keyasint"`
	Size      int64     `cbor:"6,keyasint"`
	SHA256    Hash      `cbor:"7,keyasint"`
	Root      Hash      `cbor:"8,keyasint"`
	Mode      uint32    `cbor:"9,keyasint"`
	Modified  int64     `cbor:"10,keyasint"`
	Publisher MachineID `cbor:"12,keyasint"`
}

// Statement returns the bytes that the publisher signs: that it stored this
// content under this name by this operation, or deleted the name. They are the
// same for every record that says so, whoever votes on it. Those of a conflict
// copy are the original's.
func (r *Record) Statement() []byte {
	name, op := r.Name, r.Op
	if r.Origin != nil {
		name, op = r.Origin.Name, r.Origin.Op
	}
	b, err := statementMode.Marshal(statement{
		Format: r.Format, Name: name, Op: op, Deleted: r.Deleted, Size: r.Size, SHA256: r.SHA256, Root: r.Root,
		Mode: r.Mode, Modified: r.Modified, Publisher: r.Publisher,
	})
	if err != nil {
		panic(err) // a struct of plain values
	}
	return b
}

// statementMode encodes one statement in one way only.
var statementMode = func() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()

// Register is what one voter holds for one name. The zero value is a register
// that nobody has touched.
type Register struct {
	Promised Ballot  // lower ballots are refused
	Accepted Ballot  // the ballot of Record
	Record   *Record // nil: nothing accepted yet
	Held     bool    // Record is live and its content is durable here; set by the Store
}

// Voters lists the machines that vote on a name. While the name moves, Old
// holds the list it moves from (a joint list) and a majority of each counts.
// Lists are compared in their order; keep them sorted.
type Voters struct {
	Old []MachineID `cbor:"1,keyasint,omitempty"`
	New []MachineID `cbor:"2,keyasint,omitempty"`
}

// Joint reports whether v names both an old and a new list.
func (v Voters) Joint() bool { return len(v.Old) > 0 }

// Equal reports whether both parts are the same; nil and empty are.
func (v Voters) Equal(o Voters) bool {
	return slices.Equal(v.Old, o.Old) && slices.Equal(v.New, o.New)
}

// Contains reports whether id is in either part.
func (v Voters) Contains(id MachineID) bool {
	return slices.Contains(v.Old, id) || slices.Contains(v.New, id)
}

// All returns the machines of both parts, sorted, each once, in a new slice.
func (v Voters) All() []MachineID {
	all := slices.Concat(v.Old, v.New)
	slices.SortFunc(all, func(a, b MachineID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(all)
}

// Clone returns a deep copy.
func (v Voters) Clone() Voters {
	return Voters{Old: slices.Clone(v.Old), New: slices.Clone(v.New)}
}
