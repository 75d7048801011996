package arch

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the repository's top directory, seen from this package's.
const root = "../.."

// The longest a Go file may be, in lines.
const (
	maxLines     = 500
	maxTestLines = 600
)

// tooLong reports whether a Go file has more lines than one of its kind may.
func tooLong(name string, content []byte) bool {
	limit := maxLines
	if strings.HasSuffix(name, "_test.go") {
		limit = maxTestLines
	}
	return bytes.Count(content, []byte("\n")) > limit
}

func TestFilesAreShort(t *testing.T) {
	tree := os.DirFS(root)
	files := 0
	require.NoError(t, fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		files++
		assert.False(t, tooLong(name, content), "%s is too long: it wants to be two files", name)
		return err
	}))
	assert.NotZero(t, files)
}

func TestTooLong(t *testing.T) {
	lines := func(n int) []byte { return bytes.Repeat([]byte("\n"), n) }
	assert.False(t, tooLong("a.go", lines(maxLines)))
	assert.True(t, tooLong("a.go", lines(maxLines+1)))
	assert.False(t, tooLong("a_test.go", lines(maxTestLines)))
	assert.True(t, tooLong("a_test.go", lines(maxTestLines+1)))
}
