package node

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// MachineID is the SHA-256 of a machine's public key. It names one node.
type MachineID = [32]byte

// IfExists says what a store does when the name is already taken by other content.
// Content that is already stored under the name is never a conflict.
type IfExists uint8

// The zero value refuses.
const (
	Fail    IfExists = iota // leave what is there and answer ErrExists
	Replace                 // make the content the name's new version
	Skip                    // leave what is there and answer Skipped
	Update                  // Replace if StoreOptions.Version is there, else Fail
)

// ParseIfExists reads "fail", "replace" or "skip".
func ParseIfExists(s string) (IfExists, error) {
	switch s {
	case "fail", "":
		return Fail, nil
	case "replace":
		return Replace, nil
	case "skip":
		return Skip, nil
	}
	return Fail, fmt.Errorf("%q is not one of fail, replace, skip", s)
}

// String returns the word ParseIfExists reads; "update" has none, since it says
// nothing without a version.
func (e IfExists) String() string {
	return [...]string{"fail", "replace", "skip", "update"}[e%4]
}

// Action is what a store came to.
type Action string

// The outcomes of a store that did not fail.
const (
	Stored    Action = "stored"    // the name was free
	Replaced  Action = "replaced"  // a new version of the name
	Identical Action = "identical" // the very content was already there
	Skipped   Action = "skipped"   // other content was there and Skip was asked for
)

// StoreOptions qualify one store. The zero value stores a file of unknown
// length, fails when the name is taken, and uses the ring's N and W.
type StoreOptions struct {
	Op       filestore.OpID // zero: a new one. A retry of the same store carries the same
	Base     uint64         // the name's change counter before the first attempt; used with Op only
	IfExists IfExists
	Version  filestore.OpID // with Update: the operation that wrote what may be replaced
	Size     int64          // bytes to come; 0 or less: unknown until the end, unless Empty
	Empty    bool           // Size is 0, and known
	Mode     fs.FileMode    // permission bits; zero means 0644
	Modified time.Time      // zero: now
	Replicas int            // copies wanted; only more than the ring's N has an effect
	Quorum   int            // acceptances wanted for OK; only more than the ring's W has an effect
	Compress string         // "auto" (also ""), "off", "1" to "4"
}

// StoreResult tells what became of a store.
type StoreResult struct {
	Record filestore.Record
	Action Action
	Sent   int64    // bytes of content that left this node, after compression
	Copies int      // durable copies confirmed
	Want   int      // copies the ring wants of this file: min(N, members)
	Nodes  []Holder // those that confirmed, the owner first
	// Lacking are nodes that should have confirmed and could not, as far as is
	// known; another may have made a copy in their place.
	Lacking []Lacking
}

// HolderState is what one node has of a file.
type HolderState string

// The states of a holder.
const (
	Durable     HolderState = "durable"     // content and record, fsynced
	Stale       HolderState = "stale"       // an older version
	Missing     HolderState = "missing"     // it should have a copy and has none
	Damaged     HolderState = "damaged"     // its copy was found damaged, and there is no good one yet
	Unreachable HolderState = "unreachable" // it did not answer
)

// Holder is a node that has, or should have, a copy.
type Holder struct {
	Label   string
	Machine MachineID
	ID      chord.ID // its ring position responsible for the file's key
	Addr    string
	State   HolderState
	Voter   bool // named by the name's register
}

// Role is a node's part in keeping a file.
type Role string

// A node is owner of the files whose keys fall to it and replica of its neighbours'.
const (
	Owner   Role = "owner"
	Replica Role = "replica"
	Copy    Role = "copy" // holds it, but is none of the name's voters
	None    Role = ""
)

// File is what the ring, or one node, knows of a stored file.
type File struct {
	Record    filestore.Record
	Key       chord.ID
	Role      Role // of the node that was asked
	Copies    int  // nodes that hold this version durably, as far as they answered
	Want      int
	Confirmed bool     // a majority of the name's voters agreed on the record
	Holders   []Holder // filled by Stat only
	Conflicts []string // filled by Stat only: names of the versions that lost this name and are stored beside it
}

// FetchOptions qualify one fetch. The zero value fetches the whole file, confirmed.
type FetchOptions struct {
	Offset int64 // first byte wanted
	Length int64 // bytes wanted; 0 or less: to the end
	// Quorum is how many of the name's voters must agree on the newest version: 0,
	// a majority, or if too few answer an unconfirmed fetch; 1, the word of the first
	// who has it, unconfirmed; more, that many or ErrUnavailable. Between the ring's R
	// and N.
	Quorum int
	Lazy   bool // ask for the content only when it is read
}

// ListOptions choose what List yields.
type ListOptions struct {
	Prefix  string // only names that begin with it
	Pattern string // only names path.Match matches; empty: all
	Ring    bool   // every name on the ring, not only what this node holds
	Names   bool   // with Ring: only names, which is much less work. Nothing else of a File is set
}

// ListSummary closes a listing.
type ListSummary struct {
	Asked, Answered int // nodes
}

// Complete reports whether every node that was asked has answered.
func (s ListSummary) Complete() bool { return s.Asked == s.Answered }

// Status is one node's view of itself and its ring.
type Status struct {
	Ring          string // name
	RingID        [32]byte
	N, W, R       int
	Label         string
	Machine       MachineID
	Positions     []chord.Position
	Listen        string
	Version       string
	Started       time.Time
	Ready         bool // placed, successors answer, own hand-offs done
	Members       int
	Alive         int
	Files         int   // held here
	Bytes         int64 // held here
	Capacity      int64 // bytes this node may use, held ones included
	CopiesMissing int   // copies that files held here lack, as of the last repair round
	Degraded      string
	Warnings      []string
}

// MemberState is whether a member answers.
type MemberState string

// The states of a member.
const (
	Alive    MemberState = "alive"
	Degraded MemberState = "degraded" // it answers and serves, and takes no content: its disk has failed
	Silent   MemberState = "unreachable"
	Left     MemberState = "left"
)

// Member is one machine of the ring as this node sees it.
type Member struct {
	Label    string
	Machine  MachineID
	ID       chord.ID // first position
	Addr     string   // host:port
	State    MemberState
	RTT      time.Duration // zero when it did not answer
	Used     int64         // bytes of files
	Capacity int64
	Files    int
	Free     int64 // bytes of files that still fit
	Aside    int64 // bytes in quarantine
	Version  string
	Self     bool
	Degraded string        // why it is degraded
	Clock    time.Duration // how far its clock is ahead of this node's, give or take half a round trip
	Issuer   bool          // it can let machines in
	Expires  time.Time     // its certificate, unless it is renewed before
}

// RingPosition is one position with its neighbours, as its node reports them.
type RingPosition struct {
	Label string
	chord.Position
}

// Invite is an invitation as the issuer keeps it.
type Invite struct {
	ID      string
	Created time.Time
	Expires time.Time
	Uses    int // left
	Revoked bool
}

// LogoutReport tells how leaving went.
type LogoutReport struct {
	Moved   int      // registers handed to their heirs
	Short   []string // names with fewer copies than they should have
	Elapsed time.Duration
}
