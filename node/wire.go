package node

import (
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// Kinds of control calls. The numbers are on the wire: append only. 2 and 4 were
// whole member sets and relayed joins.
const (
	callRing        uint16 = 1  // chord.Request -> chord.Reply
	callSelf        uint16 = 3  // nothing -> selfReply
	callRead        uint16 = 10 // readRequest -> register.Answer, see encodedAnswer
	callPrepare     uint16 = 11 // register.Prepare -> register.Answer
	callAccept      uint16 = 12 // register.Accept -> register.Answer
	callChange      uint16 = 13 // changeRequest -> changeReply
	callObtain      uint16 = 14 // obtainRequest -> nothing
	callHoldings    uint16 = 15 // holdingsRequest -> holdingsReply
	callList        uint16 = 16 // listRequest -> listReply
	callRange       uint16 = 17 // rangeRequest -> rangeReply
	callLeaving     uint16 = 18 // nothing -> nothing
	callMembersOf   uint16 = 19 // membersOfRequest -> membersOfReply
	callMembersSum  uint16 = 20 // membersSumRequest -> membersSumReply
	callMembersDiff uint16 = 21 // membersDiffRequest -> membersDiffReply
	callMembersTell uint16 = 22 // membersTellRequest -> nothing
	callCopy        uint16 = 24 // copyRequest -> changeReply
	callKeep        uint16 = 25 // keepRequest -> nothing
	callDegraded    uint16 = 26 // nothing -> nothing
	callStage       uint16 = 27 // stageRequest -> nothing
	callStore       uint16 = 28 // storeRequest -> changeReply
	callContent     uint16 = 29 // contentRequest -> smallChunk
	callCompare     uint16 = 30 // compareRequest -> compareReply
	callForget      uint16 = 31 // forgetRequest -> forgetReply
	callCreate      uint16 = 32 // createRequest -> register.Answer
	callFind        uint16 = 33 // findRequest -> findReply
	callReads       uint16 = 34 // readsRequest -> readsReply
	callContents    uint16 = 35 // contentsRequest -> contentsReply
)

// Kinds of streams. The numbers are on the wire: append only.
const (
	streamStore uint16 = 1 // to the coordinator: storeHeader, chunks, contentTrailer; back: stagedParts (with Resume), storeReply
	streamStage uint16 = 2 // to a member of the group: stageHeader, chunks, contentTrailer; back: stagedParts (with Resume), stageReply
	streamFetch uint16 = 3 // from a holder: fetchHeader; back: fetchReply, hash lists, chunks
)

type readRequest struct {
	Name string `cbor:"1,keyasint"`
}

// findRequest asks the callee to read a name by what it hears itself, with so many
// voters agreed as Need says where that is more than a majority.
type findRequest struct {
	Name string `cbor:"1,keyasint"`
	Need int    `cbor:"2,keyasint,omitempty"`
}

// findReply is what is chosen, at ballot At; without a Record the name was never stored.
type findReply struct {
	Record  *filestore.Record `cbor:"1,keyasint"`
	At      filestore.Ballot  `cbor:"2,keyasint"`
	Holders []MachineID       `cbor:"3,keyasint"` // that hold the content, in no order
}

// changeRequest asks the callee to coordinate a change that carries no content.
type changeRequest struct {
	Name     string         `cbor:"1,keyasint"`
	Op       filestore.OpID `cbor:"2,keyasint"`
	Base     uint64         `cbor:"3,keyasint"`
	Delete   bool           `cbor:"4,keyasint,omitempty"`
	IfExists IfExists       `cbor:"5,keyasint,omitempty"`
	Content  contentTrailer `cbor:"6,keyasint"` // what a store would write, to be compared
	Version  filestore.OpID `cbor:"7,keyasint"` // with Delete: of what is to be deleted; zero: whatever is there
	// Publisher asks for the change, and has signed the tombstone of a delete.
	Publisher MachineID `cbor:"8,keyasint"`
	Signature []byte    `cbor:"9,keyasint"`
	Copies    int       `cbor:"10,keyasint,omitempty"` // asked for, where that is more than the ring keeps
}

// tombstone is what a delete leaves.
func (r *changeRequest) tombstone() filestore.Record {
	return filestore.Record{
		Format: filestore.RecordFormat, Name: r.Name, Op: r.Op, Deleted: true, DeletedAt: time.Now().UnixNano(),
		Publisher: r.Publisher, Signature: r.Signature,
	}
}

// copyRequest asks the callee to coordinate a store of content that the ring
// has already, under another name.
type copyRequest struct {
	Store   storeHeader    `cbor:"1,keyasint"`
	Content contentTrailer `cbor:"2,keyasint"`
	From    string         `cbor:"3,keyasint"` // the other name
	Holders []MachineID    `cbor:"4,keyasint"` // who has the content under it, the best first
}

// storeHeader opens the stream that brings a file to its coordinator.
type storeHeader struct {
	Name      string         `cbor:"1,keyasint"`
	Op        filestore.OpID `cbor:"2,keyasint"`
	Base      uint64         `cbor:"3,keyasint"`
	IfExists  IfExists       `cbor:"4,keyasint,omitempty"`
	Size      int64          `cbor:"5,keyasint,omitempty"` // less than 0: unknown
	Replicas  int            `cbor:"6,keyasint,omitempty"`
	Quorum    int            `cbor:"7,keyasint,omitempty"`
	Mode      uint32         `cbor:"8,keyasint,omitempty"`
	Modified  int64          `cbor:"9,keyasint,omitempty"`
	Publisher MachineID      `cbor:"10,keyasint"`
	Version   filestore.OpID `cbor:"11,keyasint"`
	Resume    bool           `cbor:"12,keyasint,omitempty"` // the callee first says which chunks need not come
}

// contentTrailer follows the last chunk: what the content turned out to be.
type contentTrailer struct {
	Size      int64          `cbor:"1,keyasint"`
	SHA256    filestore.Hash `cbor:"2,keyasint"`
	Root      filestore.Hash `cbor:"3,keyasint"`
	Signature []byte         `cbor:"4,keyasint,omitempty"`
}

// changeReply is a coordinator's answer to a change or a store.
type changeReply struct {
	Result filestore.Result  `cbor:"1,keyasint"`
	Record *filestore.Record `cbor:"2,keyasint"`
	Copies []MachineID       `cbor:"3,keyasint"` // machines that confirmed
	Want   int               `cbor:"4,keyasint"`
	// Lacking are voters that could not take the content.
	Lacking []wireLacking `cbor:"6,keyasint,omitempty"`
}

// stageHeader opens the stream that brings content to one member of the group.
type stageHeader struct {
	Name string `cbor:"1,keyasint"`
	Size int64  `cbor:"2,keyasint,omitempty"` // less than 0: unknown
	// Resume: the callee first says which chunks need not come.
	Resume bool `cbor:"3,keyasint,omitempty"`
}

// stagedPart is one piece of what an earlier attempt has left, of which the chunks
// need not come again: those that are the same are only named.
type stagedPart struct {
	Sums []filestore.Hash `cbor:"1,keyasint"`
	More bool             `cbor:"2,keyasint,omitempty"` // another piece follows
}

// stageTrailer is the record essentials that are put on the staged file.
type stageTrailer struct {
	Record filestore.Record `cbor:"1,keyasint"`
}

// stageReply says that the content is durable.
type stageReply struct{}

// fetchHeader asks for chunks First up to but not including Last of the content.
type fetchHeader struct {
	Name   string         `cbor:"1,keyasint"`
	SHA256 filestore.Hash `cbor:"2,keyasint"`
	First  int64          `cbor:"3,keyasint,omitempty"`
	Last   int64          `cbor:"4,keyasint,omitempty"` // 0: to the end
	Hashes bool           `cbor:"5,keyasint,omitempty"` // send the chunk hashes first
	Check  bool           `cbor:"6,keyasint,omitempty"` // check what is read before it is sent
}

// fetchReply precedes the hash lists and the chunks.
type fetchReply struct {
	Size int64          `cbor:"1,keyasint"`
	Root filestore.Hash `cbor:"2,keyasint"`
}

// hashList is one piece of the chunk hashes; together they make the root.
type hashList struct {
	Sums []filestore.Hash `cbor:"1,keyasint"`
}

// hashesPerMessage bounds one hashList or stagedPart: 64 KiB of hashes, 2 GiB of content.
const hashesPerMessage = 2048

// obtainRequest asks the callee to get a content and keep it durably, ready to be accepted.
type obtainRequest struct {
	Record  filestore.Record `cbor:"1,keyasint"`
	Sources []MachineID      `cbor:"2,keyasint"`
	From    string           `cbor:"3,keyasint,omitempty"` // the name under which the sources have it; empty: the record's
	Repair  bool             `cbor:"4,keyasint,omitempty"` // nobody waits for it: at the callee's rate for repair
}

// keepRequest asks the callee to keep a copy without a vote, see makeExtra. Record
// is chosen, at ballot At.
type keepRequest struct {
	Record  filestore.Record `cbor:"1,keyasint"`
	At      filestore.Ballot `cbor:"2,keyasint"`
	Sources []MachineID      `cbor:"3,keyasint"`
	Repair  bool             `cbor:"4,keyasint,omitempty"` // as in obtainRequest
}

// holding is one content that a node is asked about.
type holding struct {
	Name   string         `cbor:"1,keyasint"`
	Op     filestore.OpID `cbor:"2,keyasint"`
	SHA256 filestore.Hash `cbor:"3,keyasint"`
}

type holdingsRequest struct {
	Of []holding `cbor:"1,keyasint"`
}

// holdingsReply answers in the order of the request.
type holdingsReply struct {
	States []HolderState `cbor:"1,keyasint"`
}

// listRequest asks for a page of what a node holds, in (key, name) order.
type listRequest struct {
	After   cursor `cbor:"1,keyasint"`
	Prefix  string `cbor:"2,keyasint,omitempty"`
	Pattern string `cbor:"3,keyasint,omitempty"`
	Gone    bool   `cbor:"4,keyasint,omitempty"` // tombstones, too
	Brief   bool   `cbor:"5,keyasint,omitempty"` // entries without their records
}

// cursor is a place in a listing; the zero cursor is its beginning.
type cursor struct {
	Key  chord.ID `cbor:"1,keyasint"`
	Name string   `cbor:"2,keyasint"`
}

type listReply struct {
	Entries []listEntry `cbor:"1,keyasint"`
	Next    cursor      `cbor:"2,keyasint"`
	More    bool        `cbor:"3,keyasint"`
}

// listEntry is a file in a listing. Its record is passed on as it is encoded in the
// holder's table.
type listEntry struct {
	Record   cbor.RawMessage  `cbor:"1,keyasint,omitempty"` // not in a brief one
	Accepted filestore.Ballot `cbor:"2,keyasint"`
	Name     string           `cbor:"3,keyasint"`
	Gone     bool             `cbor:"4,keyasint,omitempty"` // the record is a tombstone
}

// compareRequest compares ranges of the ring.
type compareRequest struct {
	Ranges []rangeSum `cbor:"1,keyasint"`
}

// rangeSum is the fingerprint of the registers that a node has after After, up
// to and including UpTo.
type rangeSum struct {
	After chord.ID              `cbor:"1,keyasint"`
	UpTo  chord.ID              `cbor:"2,keyasint"`
	Sum   filestore.Fingerprint `cbor:"3,keyasint"`
}

// compareReply answers in the order of the request.
type compareReply struct {
	Ranges  []comparedRange `cbor:"1,keyasint"`
	Members int             `cbor:"2,keyasint,omitempty"` // that the callee knows
}

// comparedRange is what the callee has in a range: the same, or few entries,
// which are listed, or more, which are not.
type comparedRange struct {
	Same    bool         `cbor:"1,keyasint,omitempty"`
	Claim   bool         `cbor:"2,keyasint,omitempty"` // the callee has had authority over the whole range
	Count   int          `cbor:"3,keyasint,omitempty"`
	Listed  bool         `cbor:"4,keyasint,omitempty"`
	Entries []rangeEntry `cbor:"5,keyasint,omitempty"`
	Unsure  bool         `cbor:"6,keyasint,omitempty"` // no claim, and it may have had one all the same
}

// forgetRequest asks whether the callee can forget old tombstones; Sure: tells it to.
type forgetRequest struct {
	Names []forgetName `cbor:"1,keyasint"`
	Sure  bool         `cbor:"2,keyasint,omitempty"`
}

// forgetName is a name whose tombstone was accepted at a ballot.
type forgetName struct {
	Name string           `cbor:"1,keyasint"`
	At   filestore.Ballot `cbor:"2,keyasint"`
}

// forgetReply answers in the order of the request.
type forgetReply struct {
	Agreed []bool `cbor:"1,keyasint"`
}

// rangeRequest lists the registers of an arc of the ring. Key 3 is no longer used.
type rangeRequest struct {
	After chord.ID `cbor:"1,keyasint"`
	UpTo  chord.ID `cbor:"2,keyasint"`
	From  cursor   `cbor:"4,keyasint"` // where the previous page ended
}

// rangeReply is a page of a listing. Key 1 is no longer used.
type rangeReply struct {
	Claim   bool         `cbor:"2,keyasint"` // the callee has had authority over the whole arc
	Entries []rangeEntry `cbor:"3,keyasint"`
	Next    cursor       `cbor:"4,keyasint"`
	More    bool         `cbor:"5,keyasint"`
}

// rangeEntry is what matters of a register for comparing it.
type rangeEntry struct {
	Name string        `cbor:"1,keyasint"`
	View register.View `cbor:"2,keyasint"`
	Held bool          `cbor:"3,keyasint,omitempty"`
	Live bool          `cbor:"4,keyasint,omitempty"` // not a tombstone
	Only bool          `cbor:"5,keyasint,omitempty"` // heard of only: the node has no record of it yet
	// Copies wanted, where that is more than there are voters.
	Copies uint8 `cbor:"6,keyasint,omitempty"`
	Old    bool  `cbor:"7,keyasint,omitempty"` // a tombstone that is old enough to be forgotten
}

// membersSumRequest compares whole member sets; the summary's parts are answered once
// the digests differ.
type membersSumRequest struct {
	Digest [32]byte      `cbor:"1,keyasint"`
	Clock  time.Duration `cbor:"8,keyasint,omitempty"` // the ring's, in nanoseconds
}

type membersSumReply struct {
	Digest  [32]byte      `cbor:"1,keyasint"`
	Buckets []byte        `cbor:"2,keyasint,omitempty"`
	Clock   time.Duration `cbor:"8,keyasint,omitempty"`
}

// membersDiffRequest says what the caller has in some buckets of its member set.
type membersDiffRequest struct {
	Buckets []byte `cbor:"1,keyasint"`
	Have    []byte `cbor:"2,keyasint"`
}

// membersDiffReply has entries that the caller lacks, and the machines whose entries
// the callee lacks. More: not all of them.
type membersDiffReply struct {
	Set  []byte      `cbor:"1,keyasint"`
	Want []MachineID `cbor:"2,keyasint"`
	More bool        `cbor:"3,keyasint,omitempty"`
}

// membersTellRequest brings entries that the callee lacks.
type membersTellRequest struct {
	Set []byte `cbor:"1,keyasint"`
}

// membersOfRequest asks for what the callee's member set has of some machines.
type membersOfRequest struct {
	Machines []MachineID `cbor:"1,keyasint"`
}

type membersOfReply struct {
	Set []byte `cbor:"1,keyasint"`
}

// selfReply is what a node says of itself.
type selfReply struct {
	Label     string         `cbor:"1,keyasint"`
	Version   string         `cbor:"2,keyasint"`
	Files     int            `cbor:"3,keyasint"`
	Used      int64          `cbor:"4,keyasint"`
	Capacity  int64          `cbor:"5,keyasint"`
	Positions []wirePosition `cbor:"6,keyasint"`
	Free      int64          `cbor:"7,keyasint,omitempty"`
	Degraded  string         `cbor:"8,keyasint,omitempty"`
	Now       int64          `cbor:"9,keyasint,omitempty"`  // its clock, in nanoseconds since 1970
	Aside     int64          `cbor:"10,keyasint,omitempty"` // bytes in quarantine
}

// wirePosition is a chord.Position without its fingers.
type wirePosition struct {
	Self        chord.Peer   `cbor:"1,keyasint"`
	Predecessor *chord.Peer  `cbor:"2,keyasint"`
	Successors  []chord.Peer `cbor:"3,keyasint"`
}
