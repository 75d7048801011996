package trust

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"
)

// JoinRequest is what a joiner sends to the issuer of its invite, once it has seen
// that it speaks to that machine, or a member to any issuer. The key it is for is
// the one that the connection was made with.
type JoinRequest struct {
	Secret [32]byte `cbor:"1,keyasint"`
	Label  string   `cbor:"2,keyasint"`
	Vnodes int      `cbor:"3,keyasint"`
	Renew  bool     `cbor:"4,keyasint,omitempty"` // the key is a member's, who wants a new certificate; nothing else counts
}

// JoinReply makes a joiner a member. The ring's settings are in the root.
type JoinReply struct {
	Chain   [][]byte `cbor:"1,keyasint"` // leaf, issuers, root
	Members []byte   `cbor:"2,keyasint"` // an encoded member set
}

// Encode returns the bytes of the request.
func (r JoinRequest) Encode() []byte { return mustEncode(r) }

// Admit answers the encoded request of the joiner whose key is pub: redeems the
// invite, issues the certificate and adds it to members. Both are durable before
// Admit returns only as far as invites is; saving members is the caller's. The
// same key gets the same chain again. The errors are those of [Invites.Redeem]
// and [ErrBadRequest].
func (a *Authority) Admit(invites *Invites, members *Members, pub ed25519.PublicKey, req []byte, now time.Time) ([]byte, error) {
	var r JoinRequest
	if len(req) > maxRequest {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadRequest, len(req))
	}
	if err := decMode.Unmarshal(req, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if r.Renew {
		return a.renew(members, pub, now)
	}
	chain, err := invites.Redeem(r.Secret, pub, now, func() ([][]byte, error) {
		return a.Issue(pub, r.Label, r.Vnodes, members, now)
	})
	if err != nil {
		return nil, err
	}
	if _, err := members.Add(chain); err != nil {
		return nil, fmt.Errorf("admit: %w", err)
	}
	return mustEncode(JoinReply{Chain: chain, Members: members.EncodeFor(MachineOf(pub), a.Machine())}), nil
}

// renew answers a member that wants a new certificate: the connection has proved
// its key, and its old certificate may have ended. One that is not due gets the
// certificate that it has.
func (a *Authority) renew(members *Members, pub ed25519.PublicKey, now time.Time) ([]byte, error) {
	machine := MachineOf(pub)
	known, _ := members.Get(machine)
	chain := members.Chain(machine)
	if chain == nil || !now.Before(known.RenewAt()) {
		var err error
		if chain, err = a.Renew(pub, members, now); err != nil {
			return nil, err
		}
		if _, err := members.Add(chain); err != nil {
			return nil, fmt.Errorf("renew: %w", err)
		}
	}
	return mustEncode(JoinReply{Chain: chain, Members: members.EncodeOf(machine, a.Machine())}), nil
}

// maxTold is how many members a joiner is told of at once; it hears of the others
// from these.
const maxTold = 1000

// EncodeFor is the set for a newcomer: all of it where it is small, else its own
// entry, those of all issuers and some others.
func (m *Members) EncodeFor(newcomer, issuer MachineID) []byte {
	all := m.All()
	if len(all) <= maxTold {
		return m.Encode()
	}
	told := []MachineID{newcomer, issuer}
	for i, x := range all {
		if x.State == Revoked || x.Issuing || i%(len(all)/maxTold+1) == 0 {
			told = append(told, x.Machine)
		}
	}
	slices.SortFunc(told, compareMachines)
	return m.EncodeOf(slices.Compact(told)...)
}

// Accept checks an encoded reply against the token and returns this machine as a
// member, with the set of members it was told.
func (t Token) Accept(key ed25519.PrivateKey, reply []byte) (*Identity, *Members, error) {
	var r JoinReply
	if err := decMode.Unmarshal(reply, &r); err != nil {
		return nil, nil, fmt.Errorf("join reply: %w", err)
	}
	root, _, err := t.verify(r.Chain)
	if err != nil {
		return nil, nil, fmt.Errorf("join reply: %w", err)
	}
	id, err := NewIdentity(key, r.Chain)
	if err != nil {
		return nil, nil, fmt.Errorf("join reply: %w", err)
	}
	members := NewMembers(root)
	if _, err := members.Merge(r.Members); err != nil {
		return nil, nil, fmt.Errorf("join reply: %w", err)
	}
	return id, members, nil
}

// AcceptRenewal checks an encoded reply to a request to renew and adds the new
// certificate, and what the issuer told besides, to members.
func (id *Identity) AcceptRenewal(members *Members, reply []byte) error {
	var r JoinReply
	if err := decMode.Unmarshal(reply, &r); err != nil {
		return fmt.Errorf("renewal: %w", err)
	}
	if _, err := id.verify(r.Chain); err != nil {
		return fmt.Errorf("renewal: %w", err)
	}
	if _, err := members.Merge(r.Members); err != nil {
		return fmt.Errorf("renewal: %w", err)
	}
	_, err := members.Add(r.Chain)
	return err
}
