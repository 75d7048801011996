//go:build unix

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stage prepares a run with the fake dhtfs. After the test no daemon may run
// and, unless the run keeps everything, no file be left.
func stage(t *testing.T) *Options {
	t.Helper()
	pids := filepath.Join(t.TempDir(), "pids")
	t.Setenv(fakePIDs, pids)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector's pause of a second at the end of each fake
	o := &Options{Nodes: 5, Temp: t.TempDir(), Out: &bytes.Buffer{}}
	t.Cleanup(func() {
		content, err := os.ReadFile(pids)
		require.NoError(t, err, "no daemon was ever started")
		for _, field := range strings.Fields(string(content)) {
			pid, err := strconv.Atoi(field)
			require.NoError(t, err)
			m := machine{pid: pid}
			if !o.Keep {
				assert.True(t, gone(pid), "daemon %d was left behind", pid)
			}
			assert.NoError(t, m.stop())
		}
		left, err := os.ReadDir(o.Temp)
		require.NoError(t, err)
		assert.Equal(t, o.Keep, len(left) > 0)
	})
	return o
}

func TestEverythingComesBackAndNothingIsLeft(t *testing.T) {
	o := stage(t)
	out := &bytes.Buffer{}
	o.Out = out
	require.NoError(t, Run(t.Context(), *o))
	for _, text := range []string{
		"ring started on otter", "birch, cedar, heron, maple joined by invite",
		"stored 10 files", "Übersicht März (Notizen).txt", "with SIGKILL", "fetched 10 of 10 files",
		"a ring of 4", "handed over 2 files, 1 have too few copies now", "through otter", "What was measured",
	} {
		assert.Contains(t, out.String(), text)
	}
	assert.NotContains(t, out.String(), "\x1b", "no escapes unless asked for")
}

func TestJSONLines(t *testing.T) {
	o := stage(t)
	out := &bytes.Buffer{}
	o.Out, o.JSON, o.Nodes = out, true, MinNodes
	require.NoError(t, Run(t.Context(), *o))
	var items int
	var last summaryLine
	for line := range strings.Lines(out.String()) {
		last = summaryLine{}
		require.NoError(t, json.Unmarshal([]byte(line), &last), line)
		if last.Type == "item" {
			items++
		}
	}
	assert.Equal(t, 10, items)
	assert.Equal(t, "summary", last.Type)
	assert.Equal(t, "dhtfs.demo/v1", last.Schema)
	assert.Equal(t, 10, last.AfterKill.Files)
	assert.NotEmpty(t, last.Killed)
	assert.Nil(t, last.AfterLogout, "of three nodes none is left to log out")
}

func TestDamageIsFound(t *testing.T) {
	o := stage(t)
	t.Setenv(fakeRot, "tides.csv")
	err := Run(t.Context(), *o)
	require.ErrorIs(t, err, ErrDiffers)
	assert.ErrorContains(t, err, "tides.csv")
}

func TestFailedCommandIsNamed(t *testing.T) {
	for _, command := range []string{"invite", "store", "logout"} {
		o := stage(t)
		t.Setenv(fakeFail, command)
		assert.ErrorContains(t, Run(t.Context(), *o), command+" does not work today")
	}
}

// cancelAt cancels a context once a text has been written.
type cancelAt struct {
	text   string
	cancel context.CancelFunc
}

func (c cancelAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.text) {
		c.cancel()
	}
	return len(p), nil
}

func TestCancelLeavesNothing(t *testing.T) {
	for _, text := range []string{"ring started", "joined by invite", "with SIGKILL", "logged out"} {
		o := stage(t)
		ctx, cancel := context.WithCancel(t.Context())
		o.Out = cancelAt{text, cancel}
		assert.ErrorIs(t, Run(ctx, *o), context.Canceled, text)
	}
}

func TestKeep(t *testing.T) {
	o := stage(t)
	out := &bytes.Buffer{}
	o.Out, o.Keep = out, true
	require.NoError(t, Run(t.Context(), *o))
	assert.Contains(t, out.String(), "otter down")
}

func TestFilesGiven(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "tree", "below"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tree", "below", "a"), []byte("a"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b"), []byte("bb"), 0o600))
	require.NoError(t, os.Symlink("b", filepath.Join(dir, "tree", "link")))
	require.NoError(t, os.Symlink("tree", filepath.Join(dir, "wood")))
	all, err := gather([]string{filepath.Join(dir, "tree"), filepath.Join(dir, "b"), filepath.Join(dir, "wood")})
	require.NoError(t, err)
	names := []string{}
	for _, f := range all {
		names = append(names, f.name)
	}
	assert.Equal(t, []string{"tree/below/a", "b", "wood/below/a"}, names)
	assert.EqualValues(t, 4, size(all))

	_, err = gather([]string{filepath.Join(dir, "b"), filepath.Join(dir, "tree", "..", "b")})
	assert.ErrorContains(t, err, `both be stored as "b"`)
	_, err = gather([]string{t.TempDir()})
	assert.ErrorContains(t, err, "no file")
	_, err = gather([]string{filepath.Join(dir, "nothing")})
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestCompare(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	long := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	require.NoError(t, os.WriteFile(filepath.Join(from, "f"), long, 0o600))
	files := []file{{name: "f", path: filepath.Join(from, "f")}}

	_, err := compare(files, to)
	require.ErrorIs(t, err, os.ErrNotExist)
	for name, content := range map[string][]byte{
		"shorter": long[1:], "longer": append(bytes.Clone(long), 0), "empty": nil,
		"changed": append(bytes.Clone(long[:len(long)-1]), 'x'),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(to, "f"), content, 0o600))
		_, err = compare(files, to)
		assert.ErrorIs(t, err, ErrDiffers, name)
	}
	require.NoError(t, os.WriteFile(filepath.Join(to, "f"), long, 0o600))
	same, err := compare(files, to)
	require.NoError(t, err)
	assert.Equal(t, 1, same)
	require.NoError(t, os.WriteFile(filepath.Join(to, "more"), nil, 0o600))
	_, err = compare(files, to)
	assert.ErrorIs(t, err, ErrDiffers, "a file too many")
}

func TestAssign(t *testing.T) {
	machines := newMachines("", "", 5)
	c := assign(machines, []holding{
		{nodes: []string{"otter", "cedar", "maple"}},
		{nodes: []string{"otter", "cedar", "heron"}},
		{nodes: []string{"otter", "maple", "heron", "cedar"}},
	})
	assert.Equal(t, "cedar", c.victim.label, "it holds the most, the storing node aside")
	assert.Equal(t, "birch", c.reader.label, "it holds nothing")
	assert.Contains(t, []string{"heron", "maple"}, c.leaver.label)
	assert.Nil(t, assign(machines[:3], nil).leaver)
}

func TestEnvironmentOfTheNodesIsTheirOwn(t *testing.T) {
	assert.Equal(t, []string{"PATH=/bin"}, environment([]string{"DHTFS_HOME=/home/me", "PATH=/bin"}))
}

func TestSaid(t *testing.T) {
	assert.Equal(t, ": port in use", said("log line\n"+`{"type":"exit_error","message":"port in use"}`+"\n"))
	assert.Equal(t, ": port in use", said("error: port in use\nhint: take another\n"))
	assert.Equal(t, ": panic", said("panic\n"))
	assert.Empty(t, said(""))
}

func TestNames(t *testing.T) {
	assert.Equal(t, "a�b", shorten("a\x1bb", 9))
	assert.Equal(t, "abc…", shorten("abcdef", 4))
}

func TestNodesAreLimited(t *testing.T) {
	for _, n := range []int{0, MinNodes - 1, MaxNodes + 1} {
		assert.ErrorContains(t, Run(t.Context(), Options{Nodes: n}), "nodes")
	}
}
