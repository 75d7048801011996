package node

import (
	"context"
	"errors"
	"sync"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// moveTries bounds the rounds of one move; what is left is the next repair's.
const moveTries = 5

// setRight moves a name's voters to its group, or, where they are there, has
// the present value accepted and its content copied wherever it is missing.
func (n *Node) setRight(ctx context.Context, p place, it item) error {
	name := it.newest.Name
	if !n.worthAsking(name, it.newest.View.Voters) {
		return ErrUnavailable // asking them costs time that other names need
	}
	target := n.target(p, chord.KeyOf(name), it.newest.View.Voters.New)
	err := n.allRefused(p, target, it)
	if err == nil {
		if err = n.move(ctx, name, target); err == nil && n.judge(p, target, it) == incomplete {
			err = n.refresh(ctx, name, target)
		}
	}
	if failure := n.repairStandIns(ctx, name, target); err == nil {
		err = failure
	}
	if err != nil {
		n.log.Debug("could not repair a file", "name", name, "err", err)
	}
	return err
}

// move brings a name's register to the voters in target, the content first.
// Where it is there already nothing happens, but that this node learns of it.
func (n *Node) move(ctx context.Context, name string, target []MachineID) error {
	for range moveTries {
		f, err := n.readAndLearn(ctx, name)
		if err != nil || f.record == nil {
			return err
		}
		v := f.view.Voters
		if f.confirmed {
			n.repair.unanswered.end(name)
			if !v.Joint() && sameMachines(v.New, target) {
				return nil
			}
		}
		moved, err := n.repairChange(ctx, name, f, target, register.Task{Target: target})
		if f.silent && errors.Is(err, ErrUnavailable) {
			moved, err = n.takeOver(ctx, name, f)
		}
		if err != nil || moved {
			return err
		}
	}
	return ErrUnavailable
}

// refresh has the present value accepted once more by all voters, and its
// content copied to those who lack it.
func (n *Node) refresh(ctx context.Context, name string, target []MachineID) error {
	f, err := n.readAndLearn(ctx, name)
	if err != nil || f.record == nil {
		return err
	}
	_, err = n.repairChange(ctx, name, f, target, register.Task{})
	return err
}

// readAndLearn reads a register and, where this node is no voter any more and
// does not know it, has it remember the chosen record.
func (n *Node) readAndLearn(ctx context.Context, name string) (found, error) {
	f, err := n.read(ctx, name)
	if err == nil && f.confirmed && f.record != nil {
		err = n.learnChosen(ctx, f.record, f.view)
	}
	return f, err
}

// repairChange copies the content ahead and then carries out a task that keeps
// the value, waiting for every voter. moved: the voters are where the task
// wants them.
func (n *Node) repairChange(ctx context.Context, name string, f found, target []MachineID, task register.Task) (moved bool, err error) {
	if rec := f.live(); rec != nil {
		n.copyAhead(ctx, *rec, f.holders, target)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	o, err := n.changeFrom(ctx, name, f.view, task, forAll)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	if err == nil {
		err = n.learnChosen(ctx, &o.record, o.view)
	}
	return o.moved, err
}

// copyAhead sees to it that the machines in target hold a content, so that
// their acceptances do not wait for it.
func (n *Node) copyAhead(ctx context.Context, rec filestore.Record, holders, target []MachineID) {
	copying := n.makeRepairCopy
	if n.state.leaving.Load() {
		copying = n.makeObtain // somebody waits for the logout
	}
	var wg sync.WaitGroup
	for _, m := range target {
		if n.silence.of(m) {
			continue
		}
		wg.Go(func() {
			if err := copying(ctx, m, rec, holders); err != nil {
				n.log.Debug("could not have a copy made", "name", rec.Name, "peer", n.members.label(m), "err", err)
			}
		})
	}
	wg.Wait()
}
