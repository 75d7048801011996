package node

import "context"

// DropStray tries to drop this node's copy of a name at once, without waiting
// for DropAfter.
func (n *Node) DropStray(ctx context.Context, name string) error {
	reg, err := n.store.Register(name)
	if err != nil || reg.Record == nil {
		return err
	}
	return n.dropStray(ctx, *reg.Record, reg.Accepted)
}
