package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node/api"
)

func TestTargets(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "there"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	tests := []struct {
		output  string
		several bool
		local   string // for the name a/b.txt; empty: refused
		path    string
	}{
		{"there", false, "a/b.txt", "there/a/b.txt"},
		{"there", true, "a/b.txt", "there/a/b.txt"},
		{"new/deep/", false, "a/b.txt", "new/deep/a/b.txt"},
		{"new.txt", false, "new.txt", "new.txt"},
		{"file", false, "file", "file"},
		{"new.txt", true, "", ""},
		{"file", true, "", ""},
		{"file/", false, "", ""},
		{"missing/new.txt", false, "", ""},
	}
	for _, test := range tests {
		output := dir + "/" + test.output
		target, err := openTarget(t.Context(), output, test.several)
		if test.local == "" {
			assert.Error(t, err, test.output)
			continue
		}
		require.NoError(t, err, test.output)
		local, err := target.place("a/b.txt")
		require.NoError(t, err)
		assert.Equal(t, filepath.FromSlash(test.local), local)
		assert.Equal(t, filepath.Join(dir, filepath.FromSlash(test.path)), target.path(local))
		target.close()
	}
}

func TestNothingLeavesTheTarget(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	require.NoError(t, os.Mkdir(inside, 0o700))
	require.NoError(t, os.Symlink(dir, filepath.Join(inside, "link")))
	target, err := openTarget(t.Context(), inside, true)
	require.NoError(t, err)
	defer target.close()
	for _, name := range []string{"../x", "a/../../x", "/x", "", ".", "a//b", "link/x/y"} {
		_, err := target.place(name)
		assert.Error(t, err, name)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func TestFreeNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.tar.gz", "a.tar (1).gz", ".rc"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	target, err := openTarget(t.Context(), dir, true)
	require.NoError(t, err)
	defer target.close()
	for name, want := range map[string]string{"a.tar.gz": "a.tar (2).gz", ".rc": ".rc (1)", "new": "new (1)"} {
		got, err := target.free(name)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestPublishKeepsWhatCameMeanwhile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) { require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600)) }
	target, err := openTarget(t.Context(), dir, true)
	require.NoError(t, err)
	defer target.close()
	write("part")
	write("x")
	assert.Equal(t, "target_exists", api.Describe(target.publish("part", "x", false)).ID)
	content, err := os.ReadFile(filepath.Join(dir, "x"))
	require.NoError(t, err)
	assert.Equal(t, "x", string(content))
	require.NoError(t, target.publish("part", "y", false))
	write("part")
	require.NoError(t, target.publish("part", "x", true))
	content, err = os.ReadFile(filepath.Join(dir, "x"))
	require.NoError(t, err)
	assert.Equal(t, "part", string(content))
}

func TestPartNamesFitAndDiffer(t *testing.T) {
	long := strings.Repeat("ü", 127)
	assert.LessOrEqual(t, len(filepath.Base(partOf("d/"+long, "0123456789abcdef0123"))), 255)
	assert.True(t, utf8.ValidString(partOf("d/x"+long, "0123456789abcdef0123")))
	parts := map[string]bool{}
	for _, name := range []string{"d/" + long + "1", "d/" + long + "2"} { // of the same content at once
		for _, content := range []string{"0123456789abcdef0123", "1123456789abcdef0123"} {
			parts[partOf(name, content)] = true
		}
	}
	assert.Len(t, parts, 4)
	assert.Equal(t, "d/.x.0123456789abcdef.dhtfs-part", filepath.ToSlash(partOf("d/x", "0123456789abcdef0123")))
}

// A pipe that nobody reads does not keep a fetch from being interrupted.
func TestAPipeThatNobodyReads(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := mkfifo(pipe); err != nil {
		t.Skip("no pipes in a folder here:", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := openTarget(ctx, pipe, false)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets what waits go on
	require.NoError(t, err)
	require.NoError(t, reader.Close())
}
