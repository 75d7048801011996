package chord

import "slices"

// MachineID names a machine, the domain of failure: SHA-256 of its raw ed25519
// public key.
type MachineID = [32]byte

// Peer is one position and where to reach it. Peers are the same when their IDs
// are; Addr is whatever the Transport needs and may change.
type Peer struct {
	ID      ID        `cbor:"1,keyasint"`
	Machine MachineID `cbor:"2,keyasint"`
	Addr    string    `cbor:"3,keyasint,omitempty"`
}

// maxList bounds the positions in a successor list. It matters only where a
// machine has several positions and those of few machines crowd a stretch.
const maxList = 64

// successorList returns the longest beginning of chain that is a sound
// successor list for self: clockwise from self, without repetition or self, and
// ending with the want-th other machine.
func successorList(self Peer, want int, chain []Peer) []Peer {
	var list []Peer
	machines := make(map[MachineID]bool, want)
	last := self.ID
	for _, p := range chain {
		if !Between(p.ID, last, self.ID) || len(list) == maxList || len(machines) == want {
			break
		}
		list = append(list, p)
		last = p.ID
		if p.Machine != self.Machine {
			machines[p.Machine] = true
		}
	}
	return list
}

// machinesIn counts the machines other than self's that list names.
func machinesIn(self Peer, list []Peer) int {
	machines := make(map[MachineID]bool)
	for _, p := range list {
		if p.Machine != self.Machine {
			machines[p.Machine] = true
		}
	}
	return len(machines)
}

// hasPeer reports whether list names the position id.
func hasPeer(list []Peer, id ID) bool {
	return slices.ContainsFunc(list, func(p Peer) bool { return p.ID == id })
}

// clonePeer returns a copy that shares nothing with p.
func clonePeer(p *Peer) *Peer {
	if p == nil {
		return nil
	}
	q := *p
	return &q
}
