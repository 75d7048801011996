package node

import (
	"context"
	"errors"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// A voter's part: the rules are register's, what they decide is durable in the
// store before the answer leaves.

func (n *Node) onRead(m readRequest) (register.Answer, error) {
	r, err := n.own(m.Name)
	if err != nil {
		return register.Answer{}, err
	}
	a := register.OnRead(r, n.knowledge(m.Name))
	a.Chosen = n.settled.has(a.Accepted)
	return a, nil
}

func (n *Node) onPrepare(m register.Prepare) (register.Answer, error) {
	known, floor := n.knowledge(m.Name), n.store.Floor()
	return n.vote(m.Name, func(r filestore.Register) (filestore.Register, register.Answer) {
		if a, forgotten := register.Forgotten(floor, r, m); forgotten {
			return r, a
		}
		return register.OnPrepare(n.self(), r, m, known)
	})
}

// onAccept accepts nothing that its publisher has not signed, whoever asks.
func (n *Node) onAccept(ctx context.Context, m register.Accept, from MachineID) (register.Answer, error) {
	name := m.Record.Name
	if from != n.self() { // its own proposals are of records that it has checked
		if err := n.checkPublished(ctx, &m.Record, from); err != nil {
			return register.Answer{}, err
		}
	}
	holds := m.Record.Deleted || n.store.Holds(name, m.Record.SHA256)
	a, err := n.vote(name, func(r filestore.Register) (filestore.Register, register.Answer) {
		return register.OnAccept(r, m, holds)
	})
	if err == nil && a.Status == register.OK {
		n.accepted(&m.Record)
	}
	return a, err
}

// accepted is called when this node has accepted a record.
func (n *Node) accepted(rec *filestore.Record) {
	n.authority.arrived(rec.Name)
	n.doubts.settle(rec.Name)
	n.staged.settle(rec.Name, rec.SHA256)
}

// vote applies a voter rule. An answer that changes nothing needs no commit.
func (n *Node) vote(name string, rule func(filestore.Register) (filestore.Register, register.Answer)) (register.Answer, error) {
	rule = n.undoubting(name, rule)
	before, err := n.store.Register(name)
	if err != nil {
		return register.Answer{}, err
	}
	after, a := rule(before)
	if after.Promised == before.Promised && after.Accepted == before.Accepted {
		return a, nil
	}
	_, err = n.store.Update(name, func(r filestore.Register) (filestore.Register, error) {
		var next filestore.Register
		next, a = rule(r)
		return next, nil
	})
	if errors.Is(err, filestore.ErrNoContent) { // dropped since the rule looked
		return register.Answer{Status: register.NoContent, Promised: before.Promised, Accepted: before.Accepted}, nil
	}
	return a, err
}
