package register

import "github.com/dhtfs/dhtfs/filestore"

// View is where a round goes: a voter list, and the accepted ballot and the
// branch of the record that it was taken from.
type View struct {
	Voters filestore.Voters `cbor:"1,keyasint"`
	Basis  filestore.Ballot `cbor:"2,keyasint"`
	Branch filestore.Branch `cbor:"3,keyasint,omitzero"`
}

// ViewOf is the view that a record accepted under a ballot stands for.
func ViewOf(rec *filestore.Record, at filestore.Ballot) View {
	return View{Voters: rec.Voters, Basis: at, Branch: rec.Branch}
}

// differs reports whether a record belongs to another list or another branch.
func (v View) differs(rec *filestore.Record) bool {
	return rec.Branch != v.Branch || !rec.Voters.Equal(v.Voters)
}

// Joins reports whether m is about to become a voter under the view: it may
// then have no record and still be asked.
func (v View) Joins(m filestore.MachineID) bool {
	if !v.Voters.Joint() {
		return false
	}
	return contains(v.Voters.New, m) && !contains(v.Voters.Old, m)
}

// Prepare asks a voter to promise that it accepts nothing below Ballot.
type Prepare struct {
	Name   string           `cbor:"1,keyasint"`
	Ballot filestore.Ballot `cbor:"2,keyasint"`
	View   View             `cbor:"3,keyasint"`
	// Joining is the list that the round begins to move to. Those on it that
	// vote already are not new: they still need to know the name.
	Joining []filestore.MachineID `cbor:"4,keyasint,omitempty"`
	// Forced: the round takes over without a majority of the view's voters. Those
	// who join a list do so whatever they were before.
	Forced bool `cbor:"5,keyasint,omitempty"`
}

// joins reports whether v is becoming a voter, by the view or by this round.
func (m Prepare) joins(v filestore.MachineID) bool {
	return m.View.Joins(v) || contains(m.Joining, v) && (m.Forced || !m.View.Voters.Contains(v))
}

// Accept asks a voter to accept Record under Ballot.
type Accept struct {
	Ballot filestore.Ballot `cbor:"1,keyasint"`
	View   View             `cbor:"2,keyasint"`
	Record filestore.Record `cbor:"3,keyasint"`
}

// Status is how a voter answers.
type Status uint8

// The answers of a voter. The numbers are on the wire: append only.
const (
	OK        Status = iota // promised, accepted, or here is what I have
	Outbid                  // a greater ballot was promised; see Promised
	OtherList               // a greater ballot was accepted under another list; see Accepted and Record
	DontKnow                // no record, and no authority to say that there is none; to Prepare: see OnPrepare
	NoContent               // accepting needs the record's content, which is not durable here
	Conflict                // a version is here that the record to be accepted takes no account of; see Record
)

// Answer is a voter's answer to Prepare, Accept or a read.
type Answer struct {
	Status   Status            `cbor:"1,keyasint"`
	Promised filestore.Ballot  `cbor:"2,keyasint"`
	Accepted filestore.Ballot  `cbor:"3,keyasint"`
	Record   *filestore.Record `cbor:"4,keyasint,omitempty"`
	Held     bool              `cbor:"5,keyasint,omitempty"` // the record's content is durable at the voter
	Vacant   bool              `cbor:"6,keyasint,omitempty"` // with DontKnow: see the knowledge of that name
	Chosen   bool              `cbor:"7,keyasint,omitempty"` // the voter has heard that the record was chosen under Accepted, which is fast
}

// view is the view that the answering voter's own record stands for.
func (a Answer) view() View { return ViewOf(a.Record, a.Accepted) }

func contains(l []filestore.MachineID, m filestore.MachineID) bool {
	for _, x := range l {
		if x == m {
			return true
		}
	}
	return false
}
