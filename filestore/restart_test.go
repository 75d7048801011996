package filestore

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A stage that broke off can be gone on with, or begun anew with a part of it.
func TestStageRestart(t *testing.T) {
	onDisks(t, func(t *testing.T, d Disk, s *Store, _ func() *Store) {
		data := content(1, 3*ChunkSize+5)
		chunk := func(i int) []byte { return data[i*ChunkSize : min(len(data), (i+1)*ChunkSize)] }
		write := func(st *Stage, which ...int) {
			for _, i := range which {
				require.NoError(t, st.WriteChunk(chunk(i), sha256.Sum256(chunk(i))))
			}
		}
		st, err := s.Stage("a", int64(len(data)))
		require.NoError(t, err)
		write(st, 0, 1, 3) // the last in the wrong place
		assert.Len(t, st.Chunks(), 3)
		fresh, err := st.Restart(2)
		require.NoError(t, err)
		assert.Empty(t, st.Chunks(), "it was discarded")
		assert.Equal(t, []Hash{sha256.Sum256(chunk(0)), sha256.Sum256(chunk(1))}, fresh.Chunks())
		write(fresh, 2, 3)
		rec := recordOf("a", data)
		require.NoError(t, fresh.Seal(rec))
		assert.Empty(t, fresh.Chunks())
		require.NoError(t, accept(s, ballot(1), rec))
		requireContent(t, s, "a", data)

		st, err = s.Stage("b", -1)
		require.NoError(t, err)
		write(st, 0)
		_, err = st.Restart(2)
		require.Error(t, err, "there is only one")
		_, _, free := s.Usage()
		st, err = s.Stage("b", -1)
		require.NoError(t, err)
		write(st, 0, 1)
		if m, ok := d.(*MemDisk); ok {
			require.NoError(t, m.Damage(st.path, 7))
			_, err = st.Restart(2)
			require.ErrorIs(t, err, ErrCorrupt)
		} else {
			st.Discard()
		}
		_, _, after := s.Usage()
		if _, ok := d.(*MemDisk); ok {
			assert.Equal(t, free, after, "all room was given back")
		}
	})
}
