package filestore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is read by few system calls is what is there, and leads nowhere else.
func TestReadBeneath(t *testing.T) {
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	home := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(home, "a", "b"), 0o700))
	content := bytes.Repeat([]byte("content"), 1000)
	require.NoError(t, os.WriteFile(filepath.Join(home, "a", "b", "file"), content, 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(home, "a", "out")))
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(home, "a", "link")))
	require.NoError(t, os.Symlink("b", filepath.Join(home, "a", "in")))
	dir, err := os.Open(home)
	require.NoError(t, err)
	defer func() { _ = dir.Close() }()

	got, err := readBeneath(dir, "a/b/file", int64(len(content)))
	require.NoError(t, err)
	assert.Equal(t, content, got)
	got, err = readBeneath(dir, "a/b/file", 10)
	require.NoError(t, err)
	assert.Equal(t, content[:10], got)
	for _, path := range []string{"a/out/secret", "a/link", "../" + filepath.Base(outside) + "/secret", filepath.Join(outside, "secret"), "a/in/file", "a/b", "a/none"} {
		_, err = readBeneath(dir, path, 1)
		require.Error(t, err, path)
	}
	_, err = readBeneath(dir, "a/b/file", int64(len(content))+1)
	require.Error(t, err, "it is shorter")
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for range 100 {
		_, err = readBeneath(dir, "a/b/file", int64(len(content))+1)
		require.Error(t, err)
	}
	after, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	assert.Less(t, len(after), len(open)+50, "descriptors are closed")
}
