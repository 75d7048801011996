package api

import (
	"encoding/hex"
	"time"

	"github.com/dhtfs/dhtfs/node"
)

// Status is what GET /v1/status answers.
type Status struct {
	Schema        string     `json:"schema"` // dhtfs.status/v1
	Ring          string     `json:"ring"`   // its name
	RingID        string     `json:"ring_id"`
	N             int        `json:"n"` // copies wanted of each file
	W             int        `json:"w"`
	R             int        `json:"r"`
	Node          string     `json:"node"` // this node's name
	NodeID        string     `json:"node_id"`
	Machine       string     `json:"machine"`
	Listen        string     `json:"listen"`
	Version       string     `json:"version"`
	Started       time.Time  `json:"started"`
	Ready         bool       `json:"ready"`
	Members       int        `json:"members"`
	Alive         int        `json:"alive"`
	Files         int        `json:"files"`    // held by this node
	Bytes         int64      `json:"bytes"`    // held by this node
	Capacity      int64      `json:"capacity"` // bytes this node may use
	CopiesMissing int        `json:"copies_missing"`
	Degraded      string     `json:"degraded,omitempty"`
	Warnings      []string   `json:"warnings,omitempty"`
	Positions     []Position `json:"positions"`
	// Watch is there when folders are watched.
	Watch *WatchSummary `json:"watch,omitempty"`
}

// Member is one machine of the ring.
type Member struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"` // of its first position
	Machine  string    `json:"machine"`
	Address  string    `json:"address"` // host:port
	State    string    `json:"state"`   // alive, degraded or unreachable
	RTT      float64   `json:"rtt_ms"`  // 0 when it did not answer
	Used     int64     `json:"used"`    // bytes
	Capacity int64     `json:"capacity"`
	Files    int       `json:"files"`
	Version  string    `json:"version"`
	Self     bool      `json:"self"`
	Free     int64     `json:"free"`                 // bytes that still fit
	Aside    int64     `json:"quarantine,omitempty"` // bytes in quarantine
	Degraded string    `json:"degraded,omitempty"`   // why it takes no content
	Clock    float64   `json:"clock_ms"`             // how far its clock is ahead of this node's
	Issuer   bool      `json:"issuer"`               // it can let machines in
	Expires  time.Time `json:"certificate_expires"`  // it is renewed before
}

// Nodes is what GET /v1/nodes answers.
type Nodes struct {
	Schema string   `json:"schema"` // dhtfs.nodes/v1
	Nodes  []Member `json:"nodes"`
}

func statusOf(s node.Status, label func(node.MachineID) string) Status {
	doc := Status{
		Schema:        "dhtfs.status/v1",
		Ring:          s.Ring,
		RingID:        hex.EncodeToString(s.RingID[:]),
		N:             s.N,
		W:             s.W,
		R:             s.R,
		Node:          s.Label,
		Machine:       machine(s.Machine),
		Listen:        s.Listen,
		Version:       s.Version,
		Started:       s.Started.UTC(),
		Ready:         s.Ready,
		Members:       s.Members,
		Alive:         s.Alive,
		Files:         s.Files,
		Bytes:         s.Bytes,
		Capacity:      s.Capacity,
		CopiesMissing: s.CopiesMissing,
		Degraded:      s.Degraded,
		Warnings:      s.Warnings,
		Positions:     make([]Position, 0, len(s.Positions)),
	}
	for _, p := range s.Positions {
		p.Fingers = nil
		doc.Positions = append(doc.Positions, positionOf(p, label))
	}
	if len(s.Positions) > 0 {
		doc.NodeID = s.Positions[0].Self.ID.String()
	}
	return doc
}

func nodesOf(ms []node.Member) Nodes {
	doc := Nodes{Schema: "dhtfs.nodes/v1", Nodes: make([]Member, 0, len(ms))}
	for _, m := range ms {
		doc.Nodes = append(doc.Nodes, Member{
			Name:     m.Label,
			ID:       m.ID.String(),
			Machine:  machine(m.Machine),
			Address:  m.Addr,
			State:    string(m.State),
			RTT:      milliseconds(m.RTT),
			Used:     m.Used,
			Capacity: m.Capacity,
			Files:    m.Files,
			Version:  m.Version,
			Self:     m.Self,
			Free:     m.Free,
			Aside:    m.Aside,
			Degraded: m.Degraded,
			Clock:    milliseconds(m.Clock),
			Issuer:   m.Issuer,
			Expires:  m.Expires.UTC(),
		})
	}
	return doc
}
