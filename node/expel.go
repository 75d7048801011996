package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Who issues, and who is out. Each of these is signed here, by an issuer, and
// holds everywhere as soon as it has been heard of: within seconds where there are
// few members, since as many are told at once as tellAtOnce, and the others by those.

// What can be wrong with naming a member, or forgetting it.
var (
	ErrAmbiguous = errors.New("more than one member is called that")
	ErrIsAlive   = errors.New("the member answers")
)

// Find returns the member that text stands for: its label, or the beginning, of at
// least four digits, of its node ID or its machine ID in hex. Members that left
// are found when no other is meant. The errors are trust.ErrNoMember and
// ErrAmbiguous.
func (n *Node) Find(text string) (MachineID, error) {
	for _, present := range []bool{true, false} {
		var found []MachineID
		for _, x := range n.members.set.All() {
			if (x.State == trust.Present) == present && calledThat(x, text) {
				found = append(found, x.Machine)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return MachineID{}, fmt.Errorf("%w: %q", ErrAmbiguous, text)
		}
	}
	return MachineID{}, fmt.Errorf("%w: %q", trust.ErrNoMember, text)
}

func calledThat(x trust.Member, text string) bool {
	if x.Name == text {
		return true
	}
	id := strings.ToLower(text)
	if len(id) < 4 {
		return false
	}
	if strings.HasPrefix(hex.EncodeToString(x.Machine[:]), id) {
		return true
	}
	for _, p := range x.Positions() {
		if strings.HasPrefix(hex.EncodeToString(p[:]), id) {
			return true
		}
	}
	return false
}

// Promote makes a member an issuer: it may invite, renew, promote, forget and
// revoke like this one. The errors are ErrNotIssuer and trust.ErrNoMember.
func (n *Node) Promote(ctx context.Context, m MachineID) error {
	power, err := n.issuing()
	if err == nil {
		_, err = n.members.set.Promote(power.Authority, m, n.now())
	}
	if err != nil {
		return &OpError{Op: "promote", Name: n.members.label(m), Err: err}
	}
	n.log.Info("made a member an issuer", "peer", n.members.label(m))
	n.membersChanged()
	n.tellNow(ctx)
	return nil
}

// Forget takes a member that does not come back off the list of those that files
// are kept on; the others then make the copies that it had. It can be invited
// again. One that answers is forgotten only with force, else it is ErrIsAlive.
func (n *Node) Forget(ctx context.Context, m MachineID, force bool) error {
	power, err := n.issuing()
	if err == nil && m == n.self() {
		err = fmt.Errorf("%w: it is this node", ErrIsAlive)
	}
	if err == nil && !force {
		if _, _, answer := n.askSelf(ctx, m); answer == nil {
			err = ErrIsAlive
		}
	}
	if err == nil {
		err = n.members.set.Forget(power.Authority, m, n.now())
	}
	if err != nil {
		return &OpError{Op: "forget", Name: n.members.label(m), Err: err}
	}
	n.log.Warn("forgot a member", "peer", n.members.label(m))
	n.expelled(ctx, m)
	return nil
}

// Revoke shuts a member out for ever. Where it was an issuer, those that it let in
// stay, certified anew by this one, unless withAdmitted is set; see
// trust.Members.Revoke. The errors are ErrNotIssuer, trust.ErrNoMember and
// trust.ErrSeniority.
func (n *Node) Revoke(ctx context.Context, m MachineID, withAdmitted bool) (trust.Revocation, error) {
	var r trust.Revocation
	power, err := n.issuing()
	if err == nil {
		r, err = n.members.set.Revoke(power.Authority, m, withAdmitted, n.now())
	}
	if err != nil {
		return r, &OpError{Op: "revoke", Name: n.members.label(m), Err: err}
	}
	n.log.Warn("revoked a member", "peer", n.members.label(m), "kept", len(r.Kept), "out", len(r.Out))
	n.expelled(ctx, append([]MachineID{m}, r.Out...)...)
	return r, nil
}

// issuing returns the power to issue, ErrNotIssuer without it.
func (n *Node) issuing() (*issuer, error) {
	power := n.membership.power()
	if power == nil || !n.members.issues(n.self()) {
		return nil, ErrNotIssuer
	}
	return power, nil
}

// farewell is how long a machine that is out is given to hear of it.
const farewell = time.Second

// expelled tells those who are out, as far as there are connections to them, then
// ends these, and tells the others.
func (n *Node) expelled(ctx context.Context, out ...MachineID) {
	set := n.members.set.EncodeOf(out...)
	told, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	answers := ask(n, out, func(m MachineID) (struct{}, error) {
		return struct{}{}, n.net.Call(told, n.members.peer(m), callMembersTell, membersTellRequest{Set: set}, nil)
	})
	for range out {
		<-answers
	}
	n.membersChanged()
	n.tellNow(ctx)
}
