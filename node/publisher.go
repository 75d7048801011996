package node

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Records are signed by the node that stores or deletes, and whoever takes one
// from another machine checks it: a coordinator what it is to propose, a voter
// what it is to accept or to stage, and everybody what a voter answers, to a read
// as to a prepare. So no member can put anything under another's name, whether
// as coordinator, as voter or by repair. It can put back what the other has once
// signed for that name.

// recordDomain separates a publisher's signatures from all others of its key.
const recordDomain = "dhtfs record 1"

// sign makes this machine the record's publisher.
func (n *Node) sign(rec *filestore.Record) {
	id := n.membership.identity
	rec.Publisher = id.Machine()
	rec.Signature = id.Sign(recordDomain, rec.Statement())
	n.verified.made(id.Key().Public().(ed25519.PublicKey), rec)
}

// checkPublished refuses, as transfer.ErrDenied, a record that its publisher has
// not signed. The publisher must be or have been a member; of one that this node
// has not heard of yet, the machine that the record comes from is asked.
func (n *Node) checkPublished(ctx context.Context, rec *filestore.Record, from MachineID) error {
	key, err := n.publisherKey(ctx, rec.Publisher, from)
	if err == nil {
		err = n.verified.check(key, rec)
	}
	if err != nil {
		n.log.Warn("refused a record", "name", rec.Name, "publisher", n.members.label(rec.Publisher),
			"peer", n.members.label(from), "err", err)
		return fmt.Errorf("%w: publisher of %q: %w", transfer.ErrDenied, rec.Name, err)
	}
	return nil
}

// publisherKey returns the key of a machine that is or was a member.
func (n *Node) publisherKey(ctx context.Context, publisher, from MachineID) (ed25519.PublicKey, error) {
	m, known := n.members.set.Get(publisher)
	if !known && from != n.self() {
		if err := n.learnMember(ctx, publisher, from); err != nil {
			return nil, err
		}
		m, known = n.members.set.Get(publisher)
	}
	if !known {
		return nil, fmt.Errorf("%w: it is no member", trust.ErrSignature)
	}
	return m.Key, nil
}

// checkRecord refuses what a machine answers when it is asked about a name: a
// record of another name, or one that its publisher has not signed.
func (n *Node) checkRecord(ctx context.Context, from MachineID, name string, rec *filestore.Record) error {
	if rec == nil {
		return nil
	}
	if rec.Name != name {
		return errBadReply
	}
	return n.checkPublished(ctx, rec, from)
}

// learnMember asks a machine for what its member set has of another.
func (n *Node) learnMember(ctx context.Context, machine, from MachineID) error {
	var reply membersOfReply
	if err := n.call(ctx, from, callMembersOf, membersOfRequest{Machines: []MachineID{machine}}, &reply); err != nil {
		return err
	}
	return n.mergeMembers(reply.Set)
}

// maxEntries bounds the machines that one call asks about.
const maxEntries = 64

func (n *Node) onMembersOf(r membersOfRequest) (membersOfReply, error) {
	if len(r.Machines) > maxEntries {
		return membersOfReply{}, fmt.Errorf("%w: %d machines in one call", transfer.ErrTooLarge, len(r.Machines))
	}
	return membersOfReply{Set: n.members.set.EncodeOf(r.Machines...)}, nil
}
