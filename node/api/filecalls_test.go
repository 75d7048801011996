//go:build unix

package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node"
)

// localFile is an open file with content, at its beginning.
func localFile(t *testing.T, content []byte) *os.File {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func someBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}

func TestOpenFilesAreStoredAndSaved(t *testing.T) {
	_, client, _ := startNode(t)
	content := someBytes(3<<20 + 5)
	in := localFile(t, content)
	stored, err := client.StoreFile(t.Context(), "f", in, node.StoreOptions{})
	require.NoError(t, err)
	assert.Equal(t, "stored", stored.Action)
	at, err := in.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	assert.EqualValues(t, len(content), at, "the offset tells how far it got")

	for have, kept := range map[int64]int64{0: 0, 2<<20 + 77: 2 << 20, int64(len(content)): 3 << 20} {
		out := localFile(t, content[:have])
		saved, err := client.Save(t.Context(), "f", stored.File.SHA256, out, have, node.FetchOptions{})
		require.NoError(t, err)
		assert.Equal(t, kept, saved.Kept)
		assert.Equal(t, stored.File.SHA256, saved.File.SHA256)
		_, err = out.Seek(0, io.SeekStart)
		require.NoError(t, err)
		got, err := io.ReadAll(out)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, got))
	}
	_, err = client.Save(t.Context(), "f", "another version", localFile(t, nil), 0, node.FetchOptions{})
	require.ErrorIs(t, err, node.ErrInterrupted)
	_, err = client.Save(t.Context(), "g", "", localFile(t, nil), 0, node.FetchOptions{})
	require.ErrorIs(t, err, node.ErrNotFound)
}

func TestAFileThatCannotBeWrittenIsNoFailureOfTheRing(t *testing.T) {
	_, client, _ := startNode(t)
	_, err := client.StoreFile(t.Context(), "f", localFile(t, someBytes(100)), node.StoreOptions{})
	require.NoError(t, err)
	readOnly, err := os.Open(localFile(t, nil).Name())
	require.NoError(t, err)
	defer func() { _ = readOnly.Close() }()
	_, err = client.Save(t.Context(), "f", "", readOnly, 0, node.FetchOptions{})
	assert.Equal(t, "local_file", Describe(err).ID)
}

func TestACallWithoutItsFileIsRefused(t *testing.T) {
	_, client, _ := startNode(t)
	for _, path := range []string{"/v1/store", "/v1/save"} {
		_, err := client.do(t.Context(), http.MethodPost, path, storeQuery("f", node.StoreOptions{}), nil, nil)
		require.ErrorIs(t, err, ErrNoFile)
	}
	pipe, other, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = errors.Join(pipe.Close(), other.Close()) }()
	_, err = client.StoreFile(t.Context(), "f", pipe, node.StoreOptions{})
	require.ErrorIs(t, err, ErrUsage, "no regular file")
}

// A daemon that takes no files is noticed, and its like is not asked again.
func TestClientNoticesThatFilesAreNotTaken(t *testing.T) {
	calls := 0
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		http.NotFound(w, r)
	})
	for range 2 {
		_, err := client.StoreFile(t.Context(), "f", localFile(t, nil), node.StoreOptions{})
		require.ErrorIs(t, err, ErrNoFile)
	}
	assert.Equal(t, 1, calls)
}

// Files that came and were not taken do not stay open.
func TestFilesThatNobodyTakesAreClosed(t *testing.T) {
	if _, err := os.ReadDir("/proc/self/fd"); err != nil {
		t.Skip("no /proc here")
	}
	_, client, _ := startNode(t)
	_, err := client.Status(t.Context())
	require.NoError(t, err)
	in := localFile(t, nil)
	open := func() int {
		n := 0
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		for _, e := range entries {
			if at, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && at == in.Name() {
				n++
			}
		}
		return n
	}
	for range 20 {
		require.ErrorIs(t, client.withFile(t.Context(), in, "/v1/nowhere", nil, nil), ErrNoFile)
		client.noFiles.Store(false)
	}
	assert.LessOrEqual(t, open(), 3, "this one, and one waiting on the connection, seen from both sides")
}

func TestContentHeldBack(t *testing.T) {
	_, client, _ := startNode(t)
	content := someBytes(2000)
	_, err := client.Store(t.Context(), "f", bytes.NewReader(content), node.StoreOptions{})
	require.NoError(t, err)
	small, err := client.FetchSmall(t.Context(), "f", node.FetchOptions{}, 2000)
	require.NoError(t, err)
	assert.False(t, small.Later)
	got, err := io.ReadAll(small)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, got))
	large, err := client.FetchSmall(t.Context(), "f", node.FetchOptions{}, 1999)
	require.NoError(t, err)
	assert.True(t, large.Later)
	assert.EqualValues(t, 2000, large.File.Size)
	require.NoError(t, large.Close())
}
