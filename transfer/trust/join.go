package trust

import (
	"crypto/ed25519"
	"fmt"
	"time"
)

// JoinRequest is what a joiner sends once it has seen the right root. The key it
// is for is the one that the connection was made with.
type JoinRequest struct {
	Secret [32]byte `cbor:"1,keyasint"`
	Label  string   `cbor:"2,keyasint"`
	Vnodes int      `cbor:"3,keyasint"`
}

// JoinReply makes a joiner a member. The ring's settings are in the root.
type JoinReply struct {
	Chain   [][]byte `cbor:"1,keyasint"` // leaf, issuer, root
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
	chain, err := invites.Redeem(r.Secret, pub, now, func() ([][]byte, error) {
		return a.Issue(pub, r.Label, r.Vnodes, members, now)
	})
	if err != nil {
		return nil, err
	}
	if _, err := members.Add(chain); err != nil {
		return nil, fmt.Errorf("admit: %w", err)
	}
	return mustEncode(JoinReply{Chain: chain, Members: members.Encode()}), nil
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
