package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	maxInvites  = 1024
	maxUses     = 10_000
	invitesKept = 30 * 24 * time.Hour // after expiry, so that a late joiner is told why
)

// Invite describes one invite for people. The secret itself is not kept.
type Invite struct {
	ID      string // 8 hex digits, of the secret's hash
	Created time.Time
	Expires time.Time
	Uses    int // how many machines it may let in
	Used    []MachineID
	Revoked bool
}

// Invites is an issuer's durable list of invites. It may be used concurrently:
// changes queue for the file one behind the other, readers never wait for it.
type Invites struct {
	path string
	turn chan struct{} // holds a token while nobody changes the file

	mu   sync.Mutex
	list []invite // replaced as a whole, never changed
}

// invite is the stored form.
type invite struct {
	Hash     [32]byte     `cbor:"1,keyasint"` // SHA-256 of the secret
	Created  int64        `cbor:"2,keyasint"`
	Expires  int64        `cbor:"3,keyasint"`
	Uses     int          `cbor:"4,keyasint"`
	Revoked  bool         `cbor:"5,keyasint"`
	Redeemed []redemption `cbor:"6,keyasint"`
}

type redemption struct {
	Key   []byte   `cbor:"1,keyasint"`
	Chain [][]byte `cbor:"2,keyasint"`
}

// LoadInvites opens the list stored at path; a missing file is an empty list. With
// an empty path the list lives in memory.
func LoadInvites(path string) (*Invites, error) {
	v := &Invites{path: path, turn: make(chan struct{}, 1)}
	v.turn <- struct{}{}
	if path == "" {
		return v, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load invites: %w", err)
	}
	if err := decMode.Unmarshal(data, &v.list); err != nil {
		return nil, fmt.Errorf("load invites: %w", err)
	}
	return v, nil
}

// Create makes a durable invite that lets uses machines (1 to 10,000) in until
// ttl from now, and returns its token for the given root, issuer and addresses.
func (v *Invites) Create(a *Authority, addrs []string, ttl time.Duration, uses int, now time.Time) (Token, error) {
	if ttl <= 0 || uses < 1 || uses > maxUses || len(addrs) == 0 || checkAddrs(addrs) != nil {
		return Token{}, fmt.Errorf("create invite: lifetime %v, %d uses and addresses %q cannot be", ttl, uses, addrs)
	}
	t := Token{
		Ring: a.root.ID(), Root: a.root.Fingerprint(), Issuer: a.Machine(),
		Addrs: addrs[:min(len(addrs), maxTokenAddrs)], Expires: now.Add(ttl).Unix(),
	}
	_, _ = rand.Read(t.Secret[:]) // never fails
	made := invite{Hash: sha256.Sum256(t.Secret[:]), Created: now.Unix(), Expires: t.Expires, Uses: uses}
	err := v.change(func(list []invite) ([]invite, error) {
		list = slices.DeleteFunc(list, func(i invite) bool { return now.Unix()-i.Expires > int64(invitesKept/time.Second) })
		if len(list) >= maxInvites {
			return nil, fmt.Errorf("create invite: there are %d already", len(list))
		}
		return append(list, made), nil
	})
	return t, err
}

// Redeem lets the machine of pub in: it finds the invite of the secret, has a
// chain issued and stores key and chain durably before it returns the chain. The
// same key is given the same chain again, whatever became of the invite since.
// The errors are [ErrInviteUnknown], [ErrInviteRevoked], [ErrInviteExpired] and
// [ErrInviteUsed].
func (v *Invites) Redeem(secret [32]byte, pub ed25519.PublicKey, now time.Time, issue func() ([][]byte, error)) ([][]byte, error) {
	hash := sha256.Sum256(secret[:])
	var chain [][]byte
	err := v.change(func(list []invite) ([]invite, error) {
		i := slices.IndexFunc(list, func(i invite) bool { return i.Hash == hash })
		if i < 0 {
			return nil, ErrInviteUnknown
		}
		inv := &list[i]
		for _, r := range inv.Redeemed {
			if bytes.Equal(r.Key, pub) {
				chain = r.Chain
				return nil, nil
			}
		}
		switch {
		case inv.Revoked:
			return nil, ErrInviteRevoked
		case now.Unix() >= inv.Expires:
			return nil, ErrInviteExpired
		case len(inv.Redeemed) >= inv.Uses:
			return nil, ErrInviteUsed
		}
		var err error
		if chain, err = issue(); err != nil {
			return nil, err
		}
		inv.Redeemed = append(slices.Clip(inv.Redeemed), redemption{Key: pub, Chain: chain})
		return list, nil
	})
	if err != nil {
		return nil, err
	}
	return chain, nil
}

// Revoke withdraws, durably, the invite with the given ID. Who it has let in
// stays in. The error is [ErrInviteUnknown].
func (v *Invites) Revoke(id string) error {
	return v.change(func(list []invite) ([]invite, error) {
		i := slices.IndexFunc(list, func(i invite) bool { return i.id() == id })
		if i < 0 {
			return nil, fmt.Errorf("revoke %s: %w", id, ErrInviteUnknown)
		}
		list[i].Revoked = true
		return list, nil
	})
}

// List returns the invites in the order they were made.
func (v *Invites) List() []Invite {
	v.mu.Lock()
	list := v.list
	v.mu.Unlock()
	out := make([]Invite, len(list))
	for i, inv := range list {
		out[i] = Invite{
			ID: inv.id(), Created: time.Unix(inv.Created, 0), Expires: time.Unix(inv.Expires, 0),
			Uses: inv.Uses, Revoked: inv.Revoked,
		}
		for _, r := range inv.Redeemed {
			out[i].Used = append(out[i].Used, MachineOf(r.Key))
		}
	}
	return out
}

func (i invite) id() string { return hex.EncodeToString(i.Hash[:4]) }

// change lets f work on a copy of the list and, unless f returns nil, stores the
// copy before it takes effect.
func (v *Invites) change(f func([]invite) ([]invite, error)) error {
	<-v.turn
	defer func() { v.turn <- struct{}{} }()
	v.mu.Lock()
	list := slices.Clone(v.list)
	v.mu.Unlock()
	list, err := f(list)
	if err != nil || list == nil {
		return err
	}
	if v.path != "" {
		if err := writeFile(v.path, mustEncode(list)); err != nil {
			return fmt.Errorf("store invites: %w", err)
		}
	}
	v.mu.Lock()
	v.list = list
	v.mu.Unlock()
	return nil
}
