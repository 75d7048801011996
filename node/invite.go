package node

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// maxOwnAddrs and maxRelays bound the addresses of a token: this node's, and those
// of other members, which pass a joiner on that cannot reach this one.
const (
	maxOwnAddrs = 4
	maxRelays   = 2
)

// Invite makes a token with which up to uses machines may join until ttl has
// passed. The error is ErrNotIssuer on a node that is none.
func (n *Node) Invite(ttl time.Duration, uses int) (token string, inv Invite, err error) {
	power := n.membership.power()
	if power == nil {
		return "", Invite{}, &OpError{Op: "invite", Err: ErrNotIssuer}
	}
	t, err := power.invites.Create(power.Authority, n.inviteAddrs(), ttl, uses, n.now())
	if err != nil {
		return "", Invite{}, &OpError{Op: "invite", Err: err}
	}
	all, err := n.Invites()
	if err != nil {
		return "", Invite{}, err
	}
	return t.String(), all[len(all)-1], nil
}

// inviteAddrs are the addresses to join at: here, or through others.
func (n *Node) inviteAddrs() []string {
	addrs := slices.Clone(n.cfg.Advertise[:min(len(n.cfg.Advertise), maxOwnAddrs)])
	others := n.members.addressed()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for _, m := range others[:min(len(others), maxRelays)] {
		addrs = append(addrs, n.members.peer(m).Addrs[0])
	}
	return addrs
}

// Invites lists the invites that this node has made.
func (n *Node) Invites() ([]Invite, error) {
	power := n.membership.power()
	if power == nil {
		return nil, &OpError{Op: "list invites", Err: ErrNotIssuer}
	}
	var l []Invite
	for _, i := range power.invites.List() {
		l = append(l, Invite{
			ID: i.ID, Created: i.Created, Expires: i.Expires, Uses: i.Uses - len(i.Used), Revoked: i.Revoked,
		})
	}
	return l, nil
}

// RevokeInvite withdraws an invite. Machines that it let in stay.
func (n *Node) RevokeInvite(id string) error {
	power := n.membership.power()
	if power == nil {
		return &OpError{Op: "revoke invite", Err: ErrNotIssuer}
	}
	if err := power.invites.Revoke(id); err != nil {
		return &OpError{Op: "revoke invite", Name: id, Err: err}
	}
	return nil
}

// onJoin lets a machine in that has an invite of this node's, or certifies a
// member anew.
func (n *Node) onJoin(_ context.Context, pub ed25519.PublicKey, req []byte) ([]byte, error) {
	power := n.membership.power()
	if power == nil {
		return nil, ErrNotIssuer
	}
	_, before := n.members.set.Get(trust.MachineOf(pub))
	reply, err := power.Admit(power.invites, n.members.set, pub, req, n.now())
	if err != nil {
		n.log.Warn("refused a machine that wanted to join", "err", err)
		return nil, err
	}
	if !before {
		n.log.Info("a machine joined", "peer", n.members.label(trust.MachineOf(pub)))
	}
	n.membersChanged()
	return reply, nil
}

// issuerOf tells where a joiner is passed on to: nowhere when this node is the
// issuer that it wants.
func (n *Node) issuerOf(want MachineID) ([]string, error) {
	anybody := want == MachineID{}
	if n.membership.power() != nil && (anybody || want == n.self()) {
		return nil, nil
	}
	if x, _ := n.members.set.Get(want); x.State == trust.Revoked {
		return nil, fmt.Errorf("%w: the one that made the invite", trust.ErrRevoked)
	}
	issuers := []MachineID{want}
	if anybody {
		issuers = n.members.issuers()
		rand.Shuffle(len(issuers), func(i, j int) { issuers[i], issuers[j] = issuers[j], issuers[i] })
	}
	var addrs []string
	for _, m := range issuers {
		if m != n.self() {
			addrs = append(addrs, n.members.peer(m).Addrs...)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: no address of the machine that made the invite is known", transfer.ErrUnreachable)
	}
	return addrs[:min(len(addrs), maxOwnAddrs)], nil
}

// issuers are the members that can issue.
func (m *members) issuers() []MachineID {
	var l []MachineID
	for _, x := range m.all() {
		if x.Issuing {
			l = append(l, x.Machine)
		}
	}
	return l
}
