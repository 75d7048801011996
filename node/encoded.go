package node

import (
	"context"
	"crypto/sha256"

	"github.com/fxamacker/cbor/v2"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// A read of a name moves its record from three tables to one asker. The voters pass
// it on as it is encoded in their tables, and the asker decodes once what three of
// them say.

// encodedAnswer is a register.Answer whose record is still encoded. On the wire they
// are the same.
type encodedAnswer struct {
	Status   register.Status  `cbor:"1,keyasint"`
	Promised filestore.Ballot `cbor:"2,keyasint"`
	Accepted filestore.Ballot `cbor:"3,keyasint"`
	Record   cbor.RawMessage  `cbor:"4,keyasint,omitempty"`
	Held     bool             `cbor:"5,keyasint,omitempty"`
	Vacant   bool             `cbor:"6,keyasint,omitempty"`
	Chosen   bool             `cbor:"7,keyasint,omitempty"`
}

// onReadEncoded is onRead for another machine.
func (n *Node) onReadEncoded(m readRequest) (encodedAnswer, error) {
	r, err := n.store.EncodedRegister(m.Name)
	if err != nil {
		return encodedAnswer{}, err
	}
	doubted := r.Record != nil && n.doubts.has(m.Name, r.Accepted)
	if doubted {
		r = filestore.EncodedRegister{Promised: r.Promised}
	}
	known := filestore.Register{Promised: r.Promised, Accepted: r.Accepted, Held: r.Held}
	if r.Record != nil {
		known.Record = &filestore.Record{} // that there is one is all that the rule looks at
	}
	a := register.OnRead(known, n.knowledgeBy(m.Name, doubted))
	return encodedAnswer{a.Status, a.Promised, a.Accepted, r.Record, a.Held, a.Vacant, n.settled.has(a.Accepted)}, nil
}

// decodedMost is how many records one generation of those has that were decoded and
// checked a moment ago. Nobody changes them.
const decodedMost = 512

// bare is the answer without its record.
func (e encodedAnswer) bare() register.Answer {
	return register.Answer{Status: e.Status, Promised: e.Promised, Accepted: e.Accepted, Held: e.Held, Vacant: e.Vacant, Chosen: e.Chosen}
}

// answer decodes what a machine has answered about a name, and checks its record.
func (n *Node) answer(ctx context.Context, from MachineID, name string, e encodedAnswer) (register.Answer, error) {
	a := e.bare()
	if err := n.checkBallots(a.Promised, a.Accepted); err != nil || len(e.Record) == 0 {
		return a, err
	}
	id := sha256.Sum256(e.Record)
	if rec, ok := n.decoded.find(id); ok && rec.Name == name {
		a.Record = rec.Clone()
		return a, nil
	}
	rec, err := n.decodeRecord(ctx, from, name, e.Record)
	if err == nil && rec != nil {
		a.Record = rec
		n.decoded.add(id, rec.Clone(), decodedMost)
	}
	return a, err
}

// decodeRecord decodes and checks the record that a machine has for a name; nil is none.
func (n *Node) decodeRecord(ctx context.Context, from MachineID, name string, encoded []byte) (*filestore.Record, error) {
	var rec *filestore.Record
	if err := transfer.Unmarshal(encoded, &rec); err != nil {
		return nil, err
	}
	return rec, n.checkRecord(ctx, from, name, rec)
}
