//go:build unix

package watch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What has become a link out of the folder since it was seen, itself or on its
// way, is not read, even if it leads to a file that looks the same.
func TestSwappedLinksAreNotRead(t *testing.T) {
	dir := t.TempDir()
	folder, outside := filepath.Join(dir, "folder"), filepath.Join(dir, "outside")
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "d"), 0o700))
	require.NoError(t, os.Mkdir(outside, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "d", "file"), []byte("seen"), 0o600))
	info, err := os.Stat(filepath.Join(folder, "d", "file"))
	require.NoError(t, err)
	open := func() error {
		s, err := openSource(folder, "d/file", printOf(info), new(reading))
		if err == nil {
			s.close()
		}
		return err
	}
	require.NoError(t, open())
	// The very file, moved: only the way to it tells.
	require.NoError(t, os.Rename(filepath.Join(folder, "d", "file"), filepath.Join(outside, "file")))
	info, err = os.Stat(filepath.Join(outside, "file"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(folder, "d", "file")))
	require.ErrorContains(t, open(), "escapes")
	require.NoError(t, os.RemoveAll(filepath.Join(folder, "d")))
	require.NoError(t, os.Symlink("../outside", filepath.Join(folder, "d")))
	require.ErrorContains(t, open(), "escapes")
}
