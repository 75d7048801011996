package arch

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	testNames = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
	testFuncs = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

// missing are the tests that a text names and that are not there.
func missing(text string, there map[string]bool) (names []string) {
	for _, name := range testNames.FindAllString(text, -1) {
		if !there[name] {
			names = append(names, name)
		}
	}
	return names
}

// The pages say which test shows what; a test that is renamed or goes must not
// leave its name behind.
func TestNamedTestsAreThere(t *testing.T) {
	there, pages := map[string]bool{}, map[string]string{}
	tree := os.DirFS(root)
	require.NoError(t, fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md" && !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if path.Ext(name) == ".md" {
			pages[name] = string(content)
			return err
		}
		for _, f := range testFuncs.FindAllStringSubmatch(string(content), -1) {
			there[f[1]] = true
		}
		return err
	}))
	require.NotEmpty(t, pages)
	for name, text := range pages {
		assert.Empty(t, missing(text, there), "%s names tests that are not there", name)
	}
}

func TestMissing(t *testing.T) {
	there := map[string]bool{"TestA": true}
	assert.Empty(t, missing("`TestA` and Testing", there))
	assert.Equal(t, []string{"TestB", "FuzzC"}, missing("TestA, TestB (FuzzC)", there))
}
