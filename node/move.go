package node

import (
	"context"
	"errors"
	"sync"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/node/register"
)

// setRight moves a name's voters to its group, or, where they are there, has
// the present value accepted and its content copied wherever it is missing.
func (n *Node) setRight(ctx context.Context, p place, it item) error {
	name := it.newest.Name
	target := n.target(p, chord.KeyOf(name), it.newest.View.Voters.New)
	view := it.newest.View
	err := n.move(ctx, name, view, target)
	if err != nil {
		n.log.Debug("could not repair a file", "name", name, "err", err)
	}
	return err
}

// move brings a name's register to the voters in target, the content first, or
// completes their copies where they are the voters already.
func (n *Node) move(ctx context.Context, name string, view register.View, target []MachineID) error {
	for {
		task := register.Task{}
		if view.Voters.Joint() || !sameMachines(view.Voters.New, target) {
			task.Target = target
		}
		if err := n.copyAhead(ctx, name, target); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, changeTimeout)
		o, err := n.changeFrom(ctx, name, view, task, forAll)
		cancel()
		if err != nil {
			return err
		}
		if o.moved {
			return nil
		}
		view = o.view
	}
}

// copyAhead sees to it that the machines in target hold the newest content that
// this node can learn of, so that their acceptances do not wait for it.
func (n *Node) copyAhead(ctx context.Context, name string, target []MachineID) error {
	f, err := n.read(ctx, name)
	if err != nil {
		return err
	}
	rec := f.live()
	if rec == nil {
		return nil
	}
	var wg sync.WaitGroup
	for _, m := range target {
		wg.Go(func() {
			if err := n.makeObtain(ctx, m, *rec, f.holders); err != nil {
				n.log.Debug("could not have a copy made", "name", name, "peer", n.members.label(m), "err", err)
			}
		})
	}
	wg.Wait()
	return nil
}
