package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// A voter's part: the rules are register's, what they decide is durable in the
// store before the answer leaves.

// ballotsAhead is by how much a ballot's counter may be ahead of this machine's clock.
// Those of a machine that lost its table are by a day, see filestore.Store.Floor, and
// clocks may be wrong. One that is further ahead would have everybody else use up the
// counters that there are. Coordinators follow as far as voters take: did they not, a
// ballot between the two would freeze a name.
const ballotsAhead = 365 * 24 * time.Hour

var errBallotAhead = fmt.Errorf("%w: a ballot that is far ahead of the clock", transfer.ErrProtocol)

// checkBallots refuses ballots that no machine of the ring can have come to.
func (n *Node) checkBallots(ballots ...filestore.Ballot) error {
	most := uint64(n.now().Add(ballotsAhead).UnixMicro())
	for _, b := range ballots {
		if b.Counter > most {
			return errBallotAhead
		}
	}
	return nil
}

// checkAnswer checks what another voter says of a name.
func (n *Node) checkAnswer(ctx context.Context, from MachineID, name string, a register.Answer) error {
	if err := n.checkBallots(a.Promised, a.Accepted); err != nil {
		return err
	}
	return n.checkRecord(ctx, from, name, a.Record)
}

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
	if err := n.checkBallots(m.Ballot); err != nil {
		return register.Answer{}, err
	}
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
	if err := n.checkBallots(m.Ballot); err != nil {
		return register.Answer{}, err
	}
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
	if after.Promised == before.Promised && after.Accepted == before.Accepted && after.Held == before.Held {
		return a, nil
	}
	now, err := n.store.Update(name, func(r filestore.Register) (filestore.Register, error) {
		var next filestore.Register
		next, a = rule(r)
		return next, nil
	})
	if errors.Is(err, filestore.ErrNoContent) || err == nil && a.Held && !now.Held { // gone since the rule looked
		return register.Answer{Status: register.NoContent, Promised: before.Promised, Accepted: before.Accepted}, nil
	}
	return a, err
}
