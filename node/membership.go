package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

const (
	membersFile = "members"
	invitesFile = "invites"
)

// RingOptions fix a ring when it is created.
type RingOptions struct {
	Name   string // of the ring, 1 to 64 printable bytes; empty: the label
	Label  string // of this machine; empty: the host's name
	VNodes int    // its positions on the ring; 0 means 1
	N      int    // copies wanted; 0 means 3
	W      int    // copies that make an OK; 0 means a majority of N
	R      int    // answers that confirm a fetch; 0 means a majority of N
}

func (o *RingOptions) setDefaults() {
	o.N = cmp.Or(o.N, 3)
	o.W = cmp.Or(o.W, register.Majority(o.N))
	o.R = cmp.Or(o.R, register.Majority(o.N))
	o.VNodes = cmp.Or(o.VNodes, 1)
	o.Label = labelOr(o.Label)
	o.Name = cmp.Or(o.Name, o.Label)
}

// labelOr is the label, or the host's name.
func labelOr(label string) string {
	if label != "" {
		return label
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		return host
	}
	return "node"
}

// Membership is what makes a machine a member: its key and certificate, the
// ring's settings and the members it knows; on an issuer also the power to let
// others in.
type Membership struct {
	identity *trust.Identity
	members  *trust.Members
	dir      string // where it is stored; empty: nowhere

	adopting sync.Mutex // held while the certificate or the power is replaced, files included

	mu     sync.Mutex
	issuer *issuer // nil: not an issuer
}

// issuer is the power to let others in, and whom it was promised to.
type issuer struct {
	*trust.Authority
	invites *trust.Invites
}

// power returns what this machine may issue with, nil if it is no issuer.
func (m *Membership) power() *issuer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.issuer
}

// empower makes this machine an issuer.
func (m *Membership) empower(a *trust.Authority) error {
	invites, err := trust.LoadInvites(inDir(m.dir, invitesFile))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.issuer != nil {
		invites = m.issuer.invites
	}
	m.issuer = &issuer{a, invites}
	return nil
}

// Found makes a new ring with this machine as its only member and its issuer.
// With dir not empty everything is stored there durably; otherwise the ring
// lives in memory. The error is trust.ErrSettings for an N, W, R that cannot
// keep the promises.
func Found(dir string, o RingOptions) (*Membership, error) {
	o.setDefaults()
	key, err := machineKey(dir)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	authority, err := trust.CreateRing(o.Name, o.N, o.W, o.R, key, now)
	if err != nil {
		return nil, err
	}
	members := trust.NewMembers(authority.Root())
	chain, err := authority.Issue(key.Public().(ed25519.PublicKey), o.Label, o.VNodes, members, now)
	if err != nil {
		return nil, err
	}
	identity, err := trust.NewIdentity(key, chain)
	if err != nil {
		return nil, err
	}
	if _, err := members.Add(chain); err != nil {
		return nil, err
	}
	m := &Membership{identity: identity, members: members, dir: dir}
	if err := m.empower(authority); err != nil {
		return nil, err
	}
	if dir != "" {
		if err := authority.Save(dir); err != nil {
			return nil, err
		}
	}
	return m, m.save()
}

// JoinOptions say how a machine joins.
type JoinOptions struct {
	Dir    string // where the membership is stored; empty: in memory
	Token  string // as Invite returned it
	Label  string // of this machine; empty: the host's name
	VNodes int    // its positions on the ring; 0 means 1
	// Dial opens connections; nil means the network's.
	Dial transfer.DialFunc
}

// graceOfClocks is how far this machine's clock may be ahead of the issuer's, whose
// clock decides whether an invite has expired.
const graceOfClocks = 24 * time.Hour

// Join redeems an invite at the ring that issued it. It may be tried again
// after a failure: with a Dir, the same key gets the same place. The errors are
// those of trust.ParseToken and trust.Invites, and transfer.ErrUnreachable when
// none of the token's addresses answers.
func Join(ctx context.Context, o JoinOptions) (*Membership, error) {
	now := time.Now()
	token, expired := trust.ParseToken(o.Token, now)
	if expired != nil && (!errors.Is(expired, trust.ErrTokenExpired) || !now.Before(time.Unix(token.Expires, 0).Add(graceOfClocks))) {
		return nil, expired
	}
	key, err := machineKey(o.Dir)
	if err != nil {
		return nil, err
	}
	m := &Membership{dir: o.Dir}
	m.identity, m.members, err = transfer.JoinRing(ctx, token, key, labelOr(o.Label), cmp.Or(o.VNodes, 1), o.Dial, nil)
	if err != nil && expired != nil && errors.Is(err, transfer.ErrUnreachable) {
		err = errors.Join(expired, err)
	}
	if err != nil {
		return nil, err
	}
	return m, m.save()
}

// LoadMembership reads what Found or Join stored. The error is fs.ErrNotExist
// where the machine is no member of any ring.
func LoadMembership(dir string) (*Membership, error) {
	identity, err := trust.LoadIdentity(dir)
	if err != nil {
		return nil, err
	}
	m := &Membership{identity: identity, dir: dir}
	if m.members, err = trust.LoadMembers(identity.Root(), filepath.Join(dir, membersFile)); err != nil {
		return nil, err
	}
	authority, err := trust.LoadAuthority(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	return m, m.empower(authority)
}

func (m *Membership) save() error {
	if m.dir == "" {
		return nil
	}
	if err := m.members.Save(filepath.Join(m.dir, membersFile)); err != nil {
		return err
	}
	return m.identity.Save(m.dir)
}

// RingName is the name that the ring was created with.
func (m *Membership) RingName() string { return m.identity.Root().Genesis().Name }

// Label is this machine's name for people.
func (m *Membership) Label() string { return m.identity.Certificate().Label }

// Machine is this machine's ID.
func (m *Membership) Machine() MachineID { return m.identity.Machine() }

// Departed tells why this machine is no member any more: trust.ErrDeparted when it
// has left or was forgotten, trust.ErrRevoked. It is nil while it is one.
func (m *Membership) Departed() error {
	switch x, _ := m.members.Get(m.Machine()); x.State {
	case trust.Present, trust.Orphaned: // of the latter others may vouch by now
		return nil
	case trust.Revoked:
		return trust.ErrRevoked
	}
	return trust.ErrDeparted
}

// Positions are this machine's places on the ring.
func (m *Membership) Positions() []chord.ID {
	var ids []chord.ID
	for _, p := range m.identity.Positions() {
		ids = append(ids, p)
	}
	return ids
}

func machineKey(dir string) (ed25519.PrivateKey, error) {
	if dir != "" {
		return trust.LoadOrCreateKey(dir)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a machine key: %w", err)
	}
	return key, nil
}

func inDir(dir, file string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, file)
}
