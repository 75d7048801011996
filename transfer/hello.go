package transfer

import "fmt"

// The protocol versions that this software speaks. Version 2 has fast ballots, which
// one that speaks only 1 would take for others.
const (
	minProtocol = 2
	maxProtocol = 2
)

// What a connection is for.
const (
	roleControl = 1
	roleBulk    = 2
)

// hello is the first frame each way, the dialling side's first.
type hello struct {
	Min      uint16    `cbor:"1,keyasint"` // protocol versions spoken
	Max      uint16    `cbor:"2,keyasint"`
	Features uint64    `cbor:"3,keyasint"` // bits; none is defined yet
	Ring     [32]byte  `cbor:"4,keyasint"`
	Machine  MachineID `cbor:"5,keyasint"`
	Version  string    `cbor:"6,keyasint"` // of the software, for people
	MaxChunk uint32    `cbor:"7,keyasint"`
	Role     uint8     `cbor:"8,keyasint"`
}

// check compares a peer's hello with one's own and with the peer's certificate.
func (own hello) check(peer hello, machine MachineID) error {
	if peer.Max < own.Min || peer.Min > own.Max || peer.Min > peer.Max {
		return fmt.Errorf("%w: this node (%.64q) speaks protocol %d to %d, the other (%.64q) %d to %d",
			ErrIncompatible, own.Version, own.Min, own.Max, peer.Version, peer.Min, peer.Max)
	}
	if peer.MaxChunk != own.MaxChunk {
		return fmt.Errorf("%w: chunks of %d and %d bytes", ErrIncompatible, own.MaxChunk, peer.MaxChunk)
	}
	if peer.Ring != own.Ring || peer.Machine != machine {
		return fmt.Errorf("%w: hello and certificate differ", ErrDenied)
	}
	if peer.Role != roleControl && peer.Role != roleBulk {
		return fmt.Errorf("%w: connection for purpose %d", ErrProtocol, peer.Role)
	}
	return nil
}

// exchange reads the peer's answer to a hello that was sent.
func (own hello) exchange(w *wire, cs codes, machine MachineID) (hello, error) {
	if err := w.writeFrame(frameHello, mustMarshal(own)); err != nil {
		return hello{}, err
	}
	t, n, err := readHeader(w.r)
	if err != nil {
		return hello{}, noEOF(err)
	}
	payload, err := w.payload(n)
	if err != nil {
		return hello{}, err
	}
	switch t {
	case frameError:
		return hello{}, cs.decode(payload)
	case frameHello:
	default:
		return hello{}, fmt.Errorf("%w: frame of type %d instead of a hello", ErrProtocol, t)
	}
	var peer hello
	if err := Unmarshal(payload, &peer); err != nil {
		return hello{}, err
	}
	return peer, own.check(peer, machine)
}
