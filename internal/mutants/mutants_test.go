package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// root is the repository's top directory, seen from this package's.
	root = "../.."
	// runVariable has the mutants tested, when it is not empty.
	runVariable = "DHTFS_MUTANTS"
	// enough is time for the slowest test of a mutant on a busy machine.
	enough = 15 * time.Minute
)

// mutate returns the file's text without the rule. The text that is replaced
// must be there once.
func (m mutant) mutate(source string) (string, error) {
	if n := strings.Count(source, m.old); n != 1 {
		return "", fmt.Errorf("%s has %d times what the mutant replaces: %s", m.file, n, m.old)
	}
	return strings.Replace(source, m.old, m.new, 1), nil
}

func (m mutant) read(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, m.file))
	require.NoError(t, err)
	return string(source)
}

// TestMutantsApply checks that every mutant still changes something.
func TestMutantsApply(t *testing.T) {
	for _, m := range table {
		text, err := m.mutate(m.read(t))
		assert.NoError(t, err, m.rule)
		assert.NotEqual(t, m.read(t), text, m.rule)
	}
	_, err := mutant{old: "x"}.mutate("x x")
	assert.Error(t, err, "what is there twice is not replaced")
	_, err = mutant{old: "x"}.mutate("")
	assert.Error(t, err, "what is not there is not replaced")
}

// TestMutants runs, for each mutant, the test that must fail.
func TestMutants(t *testing.T) {
	if os.Getenv(runVariable) == "" {
		t.Skipf("only with %s=1, or make mutants: each mutant builds a package and its tests anew", runVariable)
	}
	var report strings.Builder
	for _, m := range table {
		t.Run(m.rule, func(t *testing.T) {
			began := time.Now()
			outcome, output := m.try(t)
			fmt.Fprintf(&report, "%-9s %5.1f s  %s  (%s %s)\n", outcome, time.Since(began).Seconds(), m.rule, m.pkg, m.test)
			assert.Equal(t, caught, outcome, "%s", output)
		})
	}
	t.Logf("\n%s", report.String())
}

// outcome of a mutant's test.
type outcome string

const (
	caught   outcome = "caught"    // the test failed
	survived outcome = "SURVIVED"  // it did not
	broken   outcome = "NOT BUILT" // there was nothing to test
)

// try runs the test of one mutant.
func (m mutant) try(t *testing.T) (outcome, string) {
	t.Helper()
	text, err := m.mutate(m.read(t))
	require.NoError(t, err)
	dir := t.TempDir()
	changed := filepath.Join(dir, "changed.go")
	require.NoError(t, os.WriteFile(changed, []byte(text), 0o600))
	original, err := filepath.Abs(filepath.Join(root, m.file))
	require.NoError(t, err)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	require.NoError(t, err)
	list := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(list, overlay, 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-failfast", "-overlay="+list, "-run", "^("+m.test+")", m.pkg)
	cmd.Dir = root
	raw, err := cmd.CombinedOutput()
	output := string(raw)
	switch {
	case err == nil:
		return survived, output
	case strings.Contains(output, "--- FAIL: Test"), strings.Contains(output, "\npanic: "):
		return caught, output
	}
	return broken, output
}
