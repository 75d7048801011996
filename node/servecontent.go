package node

import (
	"context"
	"io"
	"slices"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// onFetch serves content from this node's store. Who asked checks each chunk, or
// all of them, against the register's record, and asks again for a check here
// when something is wrong.
func (n *Node) onFetch(ctx context.Context, h fetchHeader, s *transfer.Stream) error {
	c, err := n.store.Open(h.Name, h.SHA256)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	sums, err := c.Hashes()
	if err != nil {
		return err
	}
	last := int64(len(sums))
	if h.Last > 0 {
		last = min(last, h.Last)
	}
	if h.First < 0 || h.First > last {
		return ErrBadRange
	}
	if err := s.Send(fetchReply{Size: c.Size(), Root: filestore.RootOf(c.Size(), sums)}); err != nil {
		return err
	}
	if h.Hashes {
		for part := range slices.Chunk(sums, hashesPerMessage) {
			if err := s.Send(hashList{Sums: part}); err != nil {
				return err
			}
		}
	}
	next := h.First
	read := func(buf []byte) (int, [32]byte, error) {
		if next == last {
			return 0, [32]byte{}, io.EOF
		}
		i := int(next)
		next++
		if h.Check {
			k, err := c.ReadChunk(i, buf)
			return k, sums[i], err
		}
		k, sum, err := c.ReadUnchecked(i, buf)
		return k, sum, err
	}
	if _, err := n.coding.serve.EncodeChunks(ctx, read, s.WriteChunk); err != nil {
		return err
	}
	return s.EndChunks()
}
