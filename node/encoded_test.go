package node

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/hostile"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// No field of an answer is lost on the way.
func TestEncodedAnswersHaveAllFields(t *testing.T) {
	full := encoded(*hostile.Fill(new(register.Answer)))
	var e encodedAnswer
	require.NoError(t, transfer.Unmarshal(full, &e))
	assert.Equal(t, full, encoded(e))
	a := register.Answer{}
	require.NoError(t, transfer.Unmarshal(full, &a))
	n := idle(t)
	defer func() { require.NoError(t, n.store.Close()) }()
	n.decoded.add(sha256.Sum256(e.Record), a.Record, 1)
	got, err := n.answer(t.Context(), n.self(), a.Record.Name, e)
	require.NoError(t, err)
	assert.Equal(t, a, got)
}

// What a voter says of a name is the same, byte for byte, whether it decodes its
// record or passes it on.
func TestEncodedAnswersAreTheSame(t *testing.T) {
	n := idle(t)
	defer func() { require.NoError(t, n.store.Close()) }()
	at := filestore.Ballot{Counter: 7, Machine: n.self()}
	filled := *hostile.Fill(new(filestore.Record))
	filled.Name, filled.Deleted = "filled", true
	plain := filestore.Record{Format: 1, Name: "plain", Op: filestore.OpID{1}, Deleted: true, Publisher: n.self()}
	for _, rec := range []filestore.Record{filled, plain} {
		n.sign(&rec)
		_, err := n.store.Update(rec.Name, func(filestore.Register) (filestore.Register, error) {
			return filestore.Register{Promised: at, Accepted: at, Record: &rec}, nil
		})
		require.NoError(t, err)
	}
	_, err := n.store.Update("promised", func(filestore.Register) (filestore.Register, error) {
		return filestore.Register{Promised: at}, nil
	})
	require.NoError(t, err)
	for _, name := range []string{"filled", "plain", "promised", "nothing"} {
		want, err := n.onRead(readRequest{Name: name})
		require.NoError(t, err)
		got, err := n.onReadEncoded(readRequest{Name: name})
		require.NoError(t, err)
		assert.Equal(t, encoded(want), encoded(got), name)

		var arrived encodedAnswer
		require.NoError(t, transfer.Unmarshal(encoded(got), &arrived))
		for range 2 { // the second time it is known
			a, err := n.answer(t.Context(), n.self(), name, arrived)
			require.NoError(t, err)
			assert.Equal(t, encoded(want), encoded(a), name)
			if a.Record != nil {
				a.Record.Signature[0]++ // who got it may change it
			}
		}
	}
	got, err := n.onReadEncoded(readRequest{Name: "plain"})
	require.NoError(t, err)
	_, err = n.answer(t.Context(), n.self(), "another", got)
	require.ErrorIs(t, err, errBadReply, "known or not, it is of another name")
	var forged filestore.Record
	require.NoError(t, transfer.Unmarshal(got.Record, &forged))
	forged.Size++
	got.Record = encoded(forged)
	_, err = n.answer(t.Context(), n.self(), "plain", got)
	require.ErrorIs(t, err, transfer.ErrDenied)
}
