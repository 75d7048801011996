package filestore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is remembered of an entry counts for the bytes that it was decoded from,
// and for no others.
func TestRememberedEntries(t *testing.T) {
	var d decoded
	key := registerKey("a")
	record := recordOf("a", []byte("x"))
	one := &entry{Promised: ballot(1), Record: &record}
	first, err := one.encode(key)
	require.NoError(t, err)
	second, err := (&entry{Promised: ballot(2)}).encode(key)
	require.NoError(t, err)
	d.remember(key, first, one)

	a, err := d.decode(key, first)
	require.NoError(t, err)
	require.Same(t, one.Record, a.Record)
	a.Promised = ballot(7) // the caller's own
	a, err = d.decode(key, first)
	require.NoError(t, err)
	require.Equal(t, ballot(1), a.Promised)

	b, err := d.decode(key, second)
	require.NoError(t, err)
	assert.Equal(t, ballot(2), b.Promised)
	assert.Nil(t, b.Record)
	first[0] ^= 1
	_, err = d.decode(key, first)
	require.ErrorIs(t, err, errDamagedTable)

	for i := range 2 * maxDecoded {
		d.remember(registerKey(fmt.Sprint(i)), nil, one)
		require.LessOrEqual(t, len(d.entries), maxDecoded)
	}
}
