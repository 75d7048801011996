package node

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// What others have read replaces what this node could not confirm, but no news that
// they do not have.
func TestWhatOthersHaveRead(t *testing.T) {
	at := func(counter uint64, confirmed bool) found {
		return found{view: register.View{Basis: filestore.Ballot{Counter: counter}}, confirmed: confirmed}
	}
	nothing, older, newer := at(0, true), at(1, true), at(2, true)
	assert.True(t, found{}.givesWay(nothing), "they know that there is nothing")
	assert.True(t, found{}.givesWay(older))
	assert.True(t, at(1, false).givesWay(older), "the same, and certain")
	assert.True(t, at(1, false).givesWay(newer))
	assert.False(t, at(2, false).givesWay(older), "they have missed it")
	assert.False(t, at(1, false).givesWay(nothing), "they have missed it")
	assert.False(t, found{}.givesWay(at(2, false)), "they do not know either")
}
