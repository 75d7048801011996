package api

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
)

// File is a stored file as JSON.
type File struct {
	Name             string    `json:"name"`
	Key              string    `json:"key"`
	Size             int64     `json:"size"` // bytes
	SHA256           string    `json:"sha256"`
	Mode             string    `json:"mode"` // octal permission bits
	Modified         time.Time `json:"modified"`
	Stored           time.Time `json:"stored"`
	Publisher        string    `json:"publisher"` // name of the node that stored it
	PublisherMachine string    `json:"publisher_machine"`
	OperationID      string    `json:"operation_id"`
	Changes          uint64    `json:"changes"` // counter of all changes of the name
	Role             string    `json:"role"`    // of the node that was asked: owner, replica, copy or empty
	Copies           int       `json:"copies"`
	Want             int       `json:"want"`
	Confirmed        bool      `json:"confirmed"`             // a majority of the name's voters agreed
	Forced           bool      `json:"forced,omitempty"`      // its voters were replaced without their majority
	ConflictOf       string    `json:"conflict_of,omitempty"` // the name that this version lost
}

// Holder is a node that has, or should have, a copy of a file.
type Holder struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Machine string `json:"machine"`
	Address string `json:"address"`
	State   string `json:"state,omitempty"` // durable, stale, missing, damaged or unreachable; empty where nobody was asked
	Voter   bool   `json:"voter"`
}

// Stat is what GET /v1/file answers: a file and who holds it.
type Stat struct {
	Schema string `json:"schema"` // dhtfs.stat/v1
	File
	Holders   []Holder `json:"holders"`
	Conflicts []string `json:"conflicts,omitempty"` // names of the versions that lost this name and are stored beside it
}

// Stored is what a PUT came to.
type Stored struct {
	Schema string   `json:"schema"` // dhtfs.stored/v1
	Action string   `json:"action"` // stored, replaced, identical or skipped
	File   File     `json:"file"`
	Sent   int64    `json:"sent"` // bytes of content that left the node, after compression
	Copies int      `json:"copies"`
	Want   int      `json:"want"`
	Nodes  []Holder `json:"nodes"` // those that confirmed, the owner first
	// Lacking are nodes that should have confirmed and are known to be unable to.
	Lacking []Lacking `json:"lacking,omitempty"`
}

// Lacking is a copy that a store did not get, and why.
type Lacking struct {
	Name    string `json:"name"`
	Machine string `json:"machine"`
	ID      string `json:"id"`      // that of the error: no_space, degraded, …
	Message string `json:"message"` // the node's own words
}

func lackingOf(l []node.Lacking) (docs []Lacking) {
	for _, x := range l {
		docs = append(docs, Lacking{Name: x.Label, Machine: machine(x.Machine), ID: Describe(x.Err).ID, Message: oneLine(x.Err)})
	}
	return docs
}

// Saved is what a fetch into an open file came to: the whole content is there and
// has the SHA-256 of its record.
type Saved struct {
	Schema string   `json:"schema"` // dhtfs.saved/v1
	File   File     `json:"file"`
	Kept   int64    `json:"kept"` // bytes that an earlier attempt had left in the file
	From   []string `json:"from"` // names of the nodes that served the rest
}

// ListSummary closes a listing.
type ListSummary struct {
	Complete bool       `json:"complete"`
	Nodes    NodesAsked `json:"nodes"`
}

// NodesAsked says how many nodes a question went to and how many answered it.
type NodesAsked struct {
	Asked    int `json:"asked"`
	Answered int `json:"answered"`
}

func summaryOf(s node.ListSummary) ListSummary {
	return ListSummary{Complete: s.Complete(), Nodes: NodesAsked{Asked: s.Asked, Answered: s.Answered}}
}

func fileOf(f node.File, label func(node.MachineID) string) File {
	doc := recordOf(f.Record, label)
	doc.Role = string(f.Role)
	doc.Copies, doc.Want = f.Copies, f.Want
	doc.Confirmed = f.Confirmed
	return doc
}

func recordOf(r filestore.Record, label func(node.MachineID) string) File {
	mode := r.Mode & 0o777
	if mode == 0 {
		mode = 0o644
	}
	conflictOf := ""
	if r.Origin != nil {
		conflictOf = r.Origin.Name
	}
	return File{
		Name:             r.Name,
		Key:              chord.KeyOf(r.Name).String(),
		Size:             r.Size,
		SHA256:           r.SHA256.String(),
		Mode:             fmt.Sprintf("%04o", mode),
		Modified:         unixNano(r.Modified),
		Stored:           unixNano(r.Stored),
		Publisher:        label(r.Publisher),
		PublisherMachine: machine(r.Publisher),
		OperationID:      r.Op.String(),
		Changes:          r.Changes,
		Forced:           r.Forced,
		ConflictOf:       conflictOf,
	}
}

func holdersOf(hs []node.Holder) []Holder {
	docs := make([]Holder, 0, len(hs))
	for _, h := range hs {
		docs = append(docs, Holder{
			Name:    h.Label,
			ID:      h.ID.String(),
			Machine: machine(h.Machine),
			Address: h.Addr,
			State:   string(h.State),
			Voter:   h.Voter,
		})
	}
	return docs
}

func storedOf(r node.StoreResult, label func(node.MachineID) string) Stored {
	file := recordOf(r.Record, label)
	file.Copies, file.Want, file.Confirmed = r.Copies, r.Want, true
	return Stored{
		Schema: "dhtfs.stored/v1",
		Action: string(r.Action),
		File:   file,
		Sent:   r.Sent,
		Copies: r.Copies,
		Want:   r.Want,
		Nodes:  holdersOf(r.Nodes),

		Lacking: lackingOf(r.Lacking),
	}
}

// unixNano is t nanoseconds after 1970, the zero time for 0.
func unixNano(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, t).UTC()
}

func machine(id node.MachineID) string { return hex.EncodeToString(id[:]) }
