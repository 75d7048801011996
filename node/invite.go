package node

import (
	"time"
)

// Invite makes a token with which up to uses machines may join until ttl has
// passed. The error is ErrNotIssuer on a node that is none.
func (n *Node) Invite(ttl time.Duration, uses int) (token string, inv Invite, err error) {
	if n.membership.authority == nil {
		return "", Invite{}, &OpError{Op: "invite", Err: ErrNotIssuer}
	}
	t, err := n.membership.invites.Create(n.membership.authority, n.cfg.Advertise, ttl, uses, time.Now())
	if err != nil {
		return "", Invite{}, &OpError{Op: "invite", Err: err}
	}
	all, err := n.Invites()
	if err != nil {
		return "", Invite{}, err
	}
	return t.String(), all[len(all)-1], nil
}

// Invites lists the invites that this node has made.
func (n *Node) Invites() ([]Invite, error) {
	if n.membership.invites == nil {
		return nil, &OpError{Op: "list invites", Err: ErrNotIssuer}
	}
	var l []Invite
	for _, i := range n.membership.invites.List() {
		l = append(l, Invite{
			ID: i.ID, Created: i.Created, Expires: i.Expires, Uses: i.Uses - len(i.Used), Revoked: i.Revoked,
		})
	}
	return l, nil
}

// RevokeInvite withdraws an invite. Machines that it let in stay.
func (n *Node) RevokeInvite(id string) error {
	if n.membership.invites == nil {
		return &OpError{Op: "revoke invite", Err: ErrNotIssuer}
	}
	if err := n.membership.invites.Revoke(id); err != nil {
		return &OpError{Op: "revoke invite", Name: id, Err: err}
	}
	return nil
}

// issuers are the members that can issue, as their certificates' issuers say.
func (m *members) issuers() []MachineID {
	var l []MachineID
	seen := map[MachineID]bool{}
	for _, x := range m.all() {
		if !seen[x.Issuer] {
			seen[x.Issuer] = true
			l = append(l, x.Issuer)
		}
	}
	return l
}
