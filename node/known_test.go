package node

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// Whoever has much of a store that broke off can say so, in messages that the other
// side takes; and what says more than that is refused.
func TestPartsAreToldInPieces(t *testing.T) {
	for _, chunks := range []int{0, 1, hashesPerMessage, hashesPerMessage + 1, mostNamed, mostNamed + 1} {
		have := make([]filestore.Hash, chunks)
		for i := range have {
			have[i] = filestore.Hash{byte(i), byte(i >> 8)}
		}
		var k known
		more := true
		for _, piece := range piecesOf(have) {
			require.True(t, more, "%d chunks", chunks)
			var got stagedPart
			require.NoError(t, transfer.Unmarshal(encoded(piece), &got), "%d chunks", chunks)
			var err error
			more, err = k.learn(got)
			require.NoError(t, err)
		}
		assert.False(t, more)
		assert.True(t, slices.Equal(have[:min(chunks, mostNamed)], k.have), "%d chunks", chunks)
	}
	var k known
	_, err := k.learn(stagedPart{More: true})
	require.ErrorIs(t, err, errBadReply)
	_, err = k.learn(stagedPart{Sums: make([]filestore.Hash, mostNamed+1)})
	require.ErrorIs(t, err, errBadReply)
}
