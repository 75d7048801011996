package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

func TestIfExists(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		first, second := []byte("first"), []byte("second")
		for i, m := range r.Members {
			name := fmt.Sprint("file ", i)
			store := func(content []byte, e node.IfExists) (node.StoreResult, error) {
				return m.Store(t.Context(), name, bytes.NewReader(content), node.StoreOptions{IfExists: e})
			}
			r.Store(m, name, first, node.StoreOptions{})
			for _, e := range []node.IfExists{node.Fail, node.Replace, node.Skip} {
				got, err := store(first, e)
				require.NoError(t, err)
				assert.Equal(t, node.Identical, got.Action, e)
			}
			_, err := store(second, node.Fail)
			assert.ErrorIs(t, err, node.ErrExists)
			var exists *node.ExistsError
			if assert.ErrorAs(t, err, &exists) {
				assert.Equal(t, int64(len(first)), exists.Record.Size)
			}
			got, err := store(second, node.Skip)
			require.NoError(t, err)
			assert.Equal(t, node.Skipped, got.Action)
			assert.Equal(t, int64(len(first)), got.Record.Size)
			r.CheckName(m, name, first)
			got = r.Store(m, name, second, node.StoreOptions{IfExists: node.Replace})
			assert.Equal(t, node.Replaced, got.Action)
			r.CheckName(m, name, second)
		}
	})
}

// changes is a name's change counter.
func changes(t *testing.T, m *ringtest.Member, name string) uint64 {
	t.Helper()
	f, err := m.Stat(t.Context(), name)
	require.NoError(t, err)
	return f.Record.Changes
}

func TestARetryChangesNothing(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		for _, e := range []node.IfExists{node.Fail, node.Replace, node.Skip} {
			name := "file " + e.String()
			retry := node.StoreOptions{Op: node.NewOp(), IfExists: e}
			first := r.Store(r.Members[0], name, []byte("first"), retry)
			require.Equal(t, node.Stored, first.Action)
			for _, m := range r.Members {
				got, err := m.Store(t.Context(), name, bytes.NewReader([]byte("first")), retry)
				require.NoError(t, err)
				assert.Equal(t, node.Stored, got.Action, "the first attempt's result")
				assert.EqualValues(t, 1, changes(t, m, name))
			}
			again := node.StoreOptions{Op: node.NewOp(), Base: 1, IfExists: node.Replace}
			for _, m := range r.Members {
				got := r.Store(m, name, []byte("second"), again)
				assert.Equal(t, node.Replaced, got.Action, "as the first attempt at %s", m.Host)
			}
			for _, m := range r.Members {
				got, err := m.Store(t.Context(), name, bytes.NewReader([]byte("first")), retry)
				require.NoError(t, err, "%v at %s", e, m.Host)
				assert.Equal(t, node.Stored, got.Action, "the first attempt's result, though the name changed since")
				r.CheckName(m, name, []byte("second"))
				assert.EqualValues(t, 2, changes(t, m, name))
			}
			r.Delete(r.Members[2], name)
			for _, m := range r.Members {
				_, err := m.Store(t.Context(), name, bytes.NewReader([]byte("first")), retry)
				require.NoError(t, err, "%v at %s", e, m.Host)
				r.CheckName(m, name, nil)
			}
		}
	})
}

func TestARetriedDelete(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("first"), node.StoreOptions{})
		op, base := node.NewOp(), changes(t, r.Members[0], "file")
		for _, m := range r.Members {
			require.NoError(t, m.Delete(t.Context(), "file", op, base))
		}
		r.Store(r.Members[0], "file", []byte("second"), node.StoreOptions{})
		for _, m := range r.Members {
			require.NoError(t, m.Delete(t.Context(), "file", op, base))
			r.CheckName(m, "file", []byte("second"))
		}
		// A delete that found nothing remembers that too.
		op = node.NewOp()
		require.ErrorIs(t, r.Members[0].Delete(t.Context(), "other", op, 0), node.ErrNotFound)
		r.Store(r.Members[0], "other", []byte("x"), node.StoreOptions{})
		require.ErrorIs(t, r.Members[1].Delete(t.Context(), "other", op, 0), node.ErrNotFound)
	})
}

// What was refused is never carried out later, not even by an attempt that was
// under way all the time.
func TestARefusalIsRemembered(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "file", []byte("first"), node.StoreOptions{})
		refused := node.StoreOptions{Op: node.NewOp(), Base: changes(t, r.Members[0], "file")}
		store := func(m *ringtest.Member) error {
			_, err := m.Store(t.Context(), "file", bytes.NewReader([]byte("second")), refused)
			return err
		}
		require.ErrorIs(t, store(r.Members[1]), node.ErrExists)
		r.Delete(r.Members[2], "file")
		for _, m := range r.Members {
			require.ErrorIs(t, store(m), node.ErrExists, m.Host)
			r.CheckName(m, "file", nil)
		}
	})
}

func TestTheHistoryEnds(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		early := node.StoreOptions{Op: node.NewOp(), IfExists: node.Replace}
		r.Store(r.Members[0], "file", []byte("early"), early)
		for i := range filestore.HistoryLen - 1 {
			r.Store(r.Members[i%4], "file", fmt.Append(nil, i), node.StoreOptions{IfExists: node.Replace})
		}
		for _, m := range r.Members {
			_, err := m.Store(t.Context(), "file", bytes.NewReader([]byte("early")), early)
			require.NoError(t, err, "the last change that is remembered")
		}
		r.Store(r.Members[0], "file", []byte("late"), node.StoreOptions{IfExists: node.Replace})
		for _, e := range []node.IfExists{node.Fail, node.Replace, node.Skip} {
			for _, m := range r.Members {
				early.IfExists = e
				_, err := m.Store(t.Context(), "file", bytes.NewReader([]byte("early")), early)
				assert.ErrorIs(t, err, node.ErrOutcome, "%v at %s", e, m.Host)
				r.CheckName(m, "file", []byte("late"))
			}
		}
		for _, m := range r.Members {
			assert.ErrorIs(t, m.Delete(t.Context(), "file", node.NewOp(), 0), node.ErrOutcome)
		}
	})
}

// Of several that store one free name at the same moment through different
// nodes, one wins.
func TestOneWinner(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		for round := range 10 {
			name := fmt.Sprint("file ", round)
			type attempt struct {
				content []byte
				err     error
			}
			attempts := make(chan attempt)
			for _, m := range r.Members {
				go func() {
					content := []byte("by " + m.Host)
					_, err := m.Store(t.Context(), name, bytes.NewReader(content), node.StoreOptions{})
					attempts <- attempt{content, err}
				}()
			}
			won := 0
			for range r.Members {
				if a := <-attempts; a.err == nil {
					won++
					r.Acknowledged(name, a.content)
				} else {
					assert.ErrorIs(t, a.err, node.ErrExists)
				}
			}
			assert.Equal(t, 1, won)
			for _, m := range r.Members {
				assert.EqualValues(t, len(r.Members), changes(t, m, name))
			}
		}
	})
}

// broken is a reader that fails after some bytes.
type broken struct{ left int }

var errBroken = errors.New("broken off")

func (b *broken) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBroken
	}
	k := min(len(p), b.left)
	b.left -= k
	return k, nil
}

func TestContentThatBreaksOff(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		for _, m := range r.Members {
			_, err := m.Store(t.Context(), "file", &broken{2*filestore.ChunkSize + 100}, node.StoreOptions{})
			require.ErrorIs(t, err, errBroken)
		}
		r.Acknowledged("file", nil)
	})
}
