package node

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// However many values come, two generations of them are remembered.
func TestRecentForgets(t *testing.T) {
	const most = 100
	var r recent[int]
	for i := range 3 * most {
		r.add([32]byte{byte(i), byte(i >> 8)}, i, most)
		v, ok := r.find([32]byte{byte(i), byte(i >> 8)})
		assert.True(t, ok)
		assert.Equal(t, i, v)
	}
	_, ok := r.find([32]byte{})
	assert.False(t, ok)
	_, ok = r.find([32]byte{byte(most), 0})
	assert.True(t, ok, "the generation before")
	assert.Len(t, r.aged, most)
	assert.Len(t, r.young, most)
}
