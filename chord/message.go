package chord

import (
	"errors"
	"fmt"
)

// Kind says what a Request asks. The numbers are on the wire: append only.
type Kind uint8

// The kinds of Request.
const (
	KindState   Kind = 1 // name your predecessor and your successor list
	KindNotify  Kind = 2 // From may be your predecessor
	KindFind    Kind = 3 // is Key yours? if not, who is nearer?
	KindPing    Kind = 4 // are you there?
	KindLeaving Kind = 5 // From is about to go; Predecessor and Successors are whom to ask instead
	KindNudge   Kind = 6 // your successor has a new predecessor: stabilize now
)

func (k Kind) String() string {
	names := [...]string{"?", "state", "notify", "find", "ping", "leaving", "nudge"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Refusal says why a machine that answers does not answer for a position. The
// numbers are on the wire: append only.
type Refusal uint8

// The refusals; NotRefused is the zero value.
const (
	NotRefused       Refusal = 0
	RefusedNotHere   Refusal = 1 // the position is not this machine's
	RefusedNotPlaced Refusal = 2 // it has not joined yet
	RefusedLeaving   Refusal = 3 // it has left or is leaving
	RefusedUnknown   Refusal = 4 // the kind of the request is not known here
)

// The errors that refusals decode to, and that of a message that breaks the
// limits of the protocol.
var (
	ErrNotHere    = errors.New("chord: position is not on this machine")
	ErrNotPlaced  = errors.New("chord: position has not joined yet")
	ErrLeaving    = errors.New("chord: position is leaving")
	ErrUnknown    = errors.New("chord: request of an unknown kind")
	ErrBadMessage = errors.New("chord: message breaks the protocol")
)

// Request is what one position asks another. A flat struct for any codec; the
// CBOR keys are fixed.
type Request struct {
	Kind        Kind   `cbor:"1,keyasint"`
	To          ID     `cbor:"2,keyasint"` // the position asked
	From        Peer   `cbor:"3,keyasint"` // the position that asks
	Key         ID     `cbor:"4,keyasint"` // KindFind
	Predecessor *Peer  `cbor:"5,keyasint,omitempty"`
	Successors  []Peer `cbor:"6,keyasint,omitempty"`
}

// Reply answers a Request. Unless refused, From is the position that was asked.
type Reply struct {
	From        Peer    `cbor:"1,keyasint"`
	Refusal     Refusal `cbor:"2,keyasint,omitempty"`
	Mine        bool    `cbor:"3,keyasint,omitempty"` // KindFind: From owns Key
	Predecessor *Peer   `cbor:"4,keyasint,omitempty"` // nil: none known to be alive
	Successors  []Peer  `cbor:"5,keyasint,omitempty"` // KindState, and KindFind if Mine
	Likely      []Peer  `cbor:"6,keyasint,omitempty"` // KindFind: the owner, as far as From's list tells, and those after
	Closer      []Peer  `cbor:"7,keyasint,omitempty"` // KindFind: nearer before Key than From, nearest first
}

// Err returns the refusal as an error: ErrNotHere, ErrNotPlaced, ErrLeaving or
// ErrUnknown; nil if there is none.
func (r Reply) Err() error {
	switch r.Refusal {
	case NotRefused:
		return nil
	case RefusedNotHere:
		return ErrNotHere
	case RefusedNotPlaced:
		return ErrNotPlaced
	case RefusedLeaving:
		return ErrLeaving
	default:
		return ErrUnknown
	}
}

// Limits on what a peer may send. A list longer than this is refused, not cut.
const (
	maxAddr  = 1024 // bytes in Peer.Addr
	maxLeads = 16   // entries in Likely and in Closer
)

func (q Request) validate() error {
	return validPeers(maxList, q.Successors, optional(q.Predecessor), []Peer{q.From})
}

func (r Reply) validate() error {
	return errors.Join(
		validPeers(maxList, r.Successors, optional(r.Predecessor), []Peer{r.From}),
		validPeers(maxLeads, r.Likely, r.Closer))
}

func optional(p *Peer) []Peer {
	if p == nil {
		return nil
	}
	return []Peer{*p}
}

func validPeers(most int, lists ...[]Peer) error {
	for _, list := range lists {
		if len(list) > most {
			return fmt.Errorf("%w: %d peers in a list of at most %d", ErrBadMessage, len(list), most)
		}
		for _, p := range list {
			if len(p.Addr) > maxAddr {
				return fmt.Errorf("%w: an address of %d bytes", ErrBadMessage, len(p.Addr))
			}
		}
	}
	return nil
}
