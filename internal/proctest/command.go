//go:build unix

package proctest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// commandTimeout is after how long a command that does not end is killed.
const commandTimeout = 5 * time.Minute

// Result is what became of a command.
type Result struct {
	Args   []string
	Code   int // exit code
	Stdout []byte
	Stderr []byte
	Took   time.Duration
}

// Failure is the exit_error that a command with --json ends with.
type Failure struct {
	Type    string `json:"type"`
	Code    int    `json:"code"`
	ID      string `json:"id"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Command is a dhtfs command under way.
type Command struct {
	args   []string
	cmd    *exec.Cmd
	cancel context.CancelFunc
	start  time.Time
	out    bytes.Buffer
	err    bytes.Buffer
}

// Start starts a dhtfs command; stdin and stdout may be nil. With a stdout the
// Result has none. The caller must Wait for it.
func Start(t testing.TB, stdin io.Reader, stdout io.Writer, args ...string) *Command {
	t.Helper()
	return startWith(t, nil, stdin, stdout, args...)
}

// startWith is Start by another program, whose arguments prefix begins with.
func startWith(t testing.TB, prefix []string, stdin io.Reader, stdout io.Writer, args ...string) *Command {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	line := append(append(slices.Clone(prefix), program), args...)
	c := &Command{args: args, cmd: exec.CommandContext(ctx, line[0], line[1:]...), cancel: cancel, start: time.Now()}
	c.cmd.Env = environment()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, stdout, &c.err
	if stdout == nil {
		c.cmd.Stdout = &c.out
	}
	require.NoError(t, c.cmd.Start())
	return c
}

// Wait returns the result once the command has ended.
func (c *Command) Wait(t testing.TB) Result {
	t.Helper()
	defer c.cancel()
	err := c.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		require.NoError(t, err, "dhtfs %s", strings.Join(c.args, " "))
	}
	return Result{
		Args: c.args, Code: c.cmd.ProcessState.ExitCode(),
		Stdout: c.out.Bytes(), Stderr: c.err.Bytes(), Took: time.Since(c.start),
	}
}

// Run runs a dhtfs command to its end.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Start(t, nil, nil, args...).Wait(t)
}

// OK ends the test unless the command succeeded.
func (r Result) OK(t testing.TB) Result {
	t.Helper()
	require.Zero(t, r.Code, "%s", r)
	return r
}

// JSON decodes the last line of standard output into doc.
func (r Result) JSON(t testing.TB, doc any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(lastLine(r.Stdout), doc), "%s", r)
}

// Failure decodes the exit_error of a command that was run with --json and has failed.
func (r Result) Failure(t testing.TB) (f Failure) {
	t.Helper()
	require.NotZero(t, r.Code, "%s", r)
	require.NoError(t, json.Unmarshal(lastLine(r.Stderr), &f), "%s", r)
	require.Equal(t, "exit_error", f.Type, "%s", r)
	require.Equal(t, r.Code, f.Code, "%s", r)
	return f
}

// String tells what was run and what it said.
func (r Result) String() string {
	return "dhtfs " + strings.Join(r.Args, " ") + "\n" + shorten(r.Stdout) + shorten(r.Stderr)
}

// shorten keeps the end of a long text.
func shorten(text []byte) string {
	const most = 4 << 10
	if len(text) > most {
		return "…" + string(text[len(text)-most:])
	}
	return string(text)
}

func lastLine(text []byte) []byte {
	text = bytes.TrimSpace(text)
	return text[bytes.LastIndexByte(text, '\n')+1:]
}
