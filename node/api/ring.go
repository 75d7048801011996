package api

import (
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/node"
)

// Peer is a ring position and the machine that holds it.
type Peer struct {
	Name    string `json:"name,omitempty"`
	ID      string `json:"id"`
	Machine string `json:"machine"`
	Address string `json:"address"`
}

// Position is one place on the ring with its neighbours, as its node sees them.
type Position struct {
	Peer
	Predecessor *Peer    `json:"predecessor"` // null when not known
	Successors  []Peer   `json:"successors"`
	Fingers     []Finger `json:"fingers,omitempty"`
}

// Finger is a shortcut across the ring.
type Finger struct {
	Start string `json:"start"` // the first key the finger is for
	Peer
}

// Ring is what GET /v1/ring answers: every position, in ring order.
type Ring struct {
	Schema    string     `json:"schema"` // dhtfs.ring/v1
	Ring      string     `json:"ring"`
	Complete  bool       `json:"complete"`
	Nodes     NodesAsked `json:"nodes"`
	Positions []Position `json:"positions"`
}

// Fingers is what GET /v1/fingers answers: this node's own positions.
type Fingers struct {
	Schema    string     `json:"schema"` // dhtfs.fingers/v1
	Positions []Position `json:"positions"`
}

// Hop is one step of a lookup.
type Hop struct {
	Peer
	RTT   float64 `json:"rtt_ms"`
	Error string  `json:"error,omitempty"`
}

// Locate is what GET /v1/locate answers.
type Locate struct {
	Schema  string   `json:"schema"` // dhtfs.locate/v1
	Name    string   `json:"name,omitempty"`
	Key     string   `json:"key"`
	Owner   Peer     `json:"owner"`
	Vouched bool     `json:"vouched,omitempty"` // the owner does not answer this node; those next to it say it is there
	Hops    []Hop    `json:"hops"`
	Group   []Holder `json:"group"`
	Seconds float64  `json:"seconds"`
}

func peerOf(p chord.Peer, label func(node.MachineID) string) Peer {
	return Peer{Name: label(p.Machine), ID: p.ID.String(), Machine: machine(p.Machine), Address: p.Addr}
}

func peersOf(ps []chord.Peer, label func(node.MachineID) string) []Peer {
	docs := make([]Peer, 0, len(ps))
	for _, p := range ps {
		docs = append(docs, peerOf(p, label))
	}
	return docs
}

func positionOf(p chord.Position, label func(node.MachineID) string) Position {
	doc := Position{Peer: peerOf(p.Self, label), Successors: peersOf(p.Successors, label)}
	if p.Predecessor != nil {
		predecessor := peerOf(*p.Predecessor, label)
		doc.Predecessor = &predecessor
	}
	for _, f := range p.Fingers {
		doc.Fingers = append(doc.Fingers, Finger{Start: f.Start.String(), Peer: peerOf(f.Peer, label)})
	}
	return doc
}

func locateOf(name string, l chord.Lookup, group []node.Holder, took time.Duration, label func(node.MachineID) string) Locate {
	doc := Locate{
		Schema:  "dhtfs.locate/v1",
		Name:    name,
		Key:     l.Key.String(),
		Owner:   peerOf(l.Owner, label),
		Vouched: l.Vouched,
		Hops:    make([]Hop, 0, len(l.Hops)),
		Group:   holdersOf(group),
		Seconds: took.Seconds(),
	}
	for _, h := range l.Hops {
		hop := Hop{Peer: peerOf(h.Peer, label), RTT: milliseconds(h.RTT)}
		if h.Err != nil {
			hop.Error = h.Err.Error()
		}
		doc.Hops = append(doc.Hops, hop)
	}
	return doc
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
