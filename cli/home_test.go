package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatNobodyTookOverIsKept(t *testing.T) {
	home := t.TempDir()
	p, err := resolvePaths(home, os.Getenv)
	require.NoError(t, err)
	plant(t, home, "member/node.key", "registers.db", "journal-0", "journal-1", "files/.chunks/x", "watch/folders.json")
	kept, err := retire(p, time.Unix(1, 0))
	require.NoError(t, err)
	assert.Empty(t, kept)
	assert.Empty(t, keptFiles(p))
	assert.NoFileExists(t, filepath.Join(p.Data, "journal-1"), "it is no other table's")
	assert.NoDirExists(t, p.Membership)
	assert.NoDirExists(t, p.watchDir(), "folders are not published on the next ring")

	plant(t, home, "member/node.key", "registers.db", "files/ab/report.pdf")
	kept, err = retire(p, time.Unix(2, 0))
	require.NoError(t, err)
	assert.Equal(t, []string{kept}, keptFiles(p))
	assert.FileExists(t, filepath.Join(kept, "files/ab/report.pdf"))
}
