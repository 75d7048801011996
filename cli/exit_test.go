package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

func testApp(json bool) (a *app, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	a = &app{stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, documents: stdout, given: make(map[string]origin), begun: true}
	a.global.json = json
	a.global.progress = "off"
	return a, stdout, stderr
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		err  error
		code int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{usagef("wrong"), 2},
		{filestore.ErrBadName, 2},
		{trust.ErrBadToken, 2},
		{&api.Error{Code: api.ExitPartial, ID: "partial"}, 3},
		{node.ErrNotFound, 4},
		{errQuiet(4), 4},
		{&node.ExistsError{}, 5},
		{occupied("x"), 5},
		{trust.ErrInviteUsed, 6},
		{trust.ErrTokenExpired, 6},
		{trust.ErrInviteRevoked, 6},
		{node.ErrNotIssuer, 6},
		{filestore.ErrCorrupt, 7},
		{damaged("x"), 7},
		{filestore.ErrNoSpace, 8},
		{writing(syscall.ENOSPC), 8},
		{node.ErrTooFew, 9},
		{api.ErrNoDaemon, 10},
		{node.ErrUnavailable, 11},
		{context.DeadlineExceeded, 11},
		{&api.Error{Code: api.ExitVersion, ID: "incompatible"}, 12},
		{filestore.ErrLocked, 13},
	}
	for _, test := range tests {
		for _, err := range []error{test.err, wrapped(test.err)} {
			a, stdout, _ := testApp(false)
			assert.Equal(t, test.code, a.exit(t.Context(), err), "%v", err)
			assert.Empty(t, stdout.String())
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("step: %w", &node.OpError{Op: "store", Name: "x", Err: err})
}

func TestSignalsDecideTheExitCode(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(Interrupted{Signal: signal})
		a, _, _ := testApp(false)
		assert.Equal(t, code, a.exit(ctx, api.ErrDaemonGone))
		assert.Equal(t, 0, a.exit(ctx, nil), "what ended well ended well")
	}
}

func TestExitErrorIsOneLineOfJSON(t *testing.T) {
	a, stdout, stderr := testApp(true)
	assert.Equal(t, 4, a.exit(t.Context(), &node.OpError{Op: "stat", Name: "a\nb", Err: node.ErrNotFound}))
	assert.Empty(t, stdout.String())
	assert.Equal(t, 1, strings.Count(stderr.String(), "\n"))
	var line exitError
	require.NoError(t, json.Unmarshal(stderr.Bytes(), &line))
	assert.Equal(t, exitError{Type: "exit_error", Code: 4, ID: "not_found", Message: line.Message, Hint: "what the ring has:  dhtfs ls --ring"}, line)
}

func TestErrorsForPeopleAreEscaped(t *testing.T) {
	a, _, stderr := testApp(false)
	a.exit(t.Context(), errors.New("\x1b[2J"))
	assert.Equal(t, "error: \\x1b[2J\n", stderr.String())
}

func TestJoinedErrorsAreOneLine(t *testing.T) {
	a, _, stderr := testApp(false)
	a.exit(t.Context(), errors.Join(errors.New("one"), errors.New("dial tcp 10.0.0.1:7: connect: connection refused")))
	assert.Equal(t, "error: one; 10.0.0.1:7: connection refused\n", stderr.String())
}

func TestWhatUsersCanMendHasAHint(t *testing.T) {
	for _, err := range []error{
		filestore.ErrBadName, filestore.ErrCollision, filestore.ErrNoSpace, filestore.ErrDegraded, filestore.ErrCorrupt,
		node.ErrBadRange, node.ErrTooFew, node.ErrInterrupted, api.ErrNoInvite, reading(io.ErrUnexpectedEOF), writing(io.ErrShortWrite),
	} {
		a, _, _ := testApp(false)
		assert.NotEmpty(t, a.describe(t.Context(), err).Hint, "%v", err)
	}
}

func TestNamesThatCannotBeStored(t *testing.T) {
	a, _, _ := testApp(false)
	for name, why := range map[string]string{"/x": `"/x" begins with a slash`, "a//b": "empty segment", "../x": `segment ".."`} {
		failure := a.describe(t.Context(), checkName(name))
		assert.Equal(t, api.ExitUsage, failure.Code)
		assert.Contains(t, failure.Message, why)
		assert.Contains(t, failure.Hint, "--as NAME")
	}
	assert.NoError(t, checkName("a/b"))
}

// What cannot be printed has not been said.
func TestAnAnswerThatCannotBePrinted(t *testing.T) {
	t.Setenv("DHTFS_HOME", t.TempDir())
	for _, args := range [][]string{{"--help"}, {"config", "show"}, {"--json", "config", "show"}} {
		var stderr bytes.Buffer
		require.Zero(t, Main(t.Context(), args, strings.NewReader(""), io.Discard, &stderr), "%v: %s", args, &stderr)
		assert.Equal(t, 1, Main(t.Context(), args, strings.NewReader(""), fullWriter{}, &stderr), args)
		assert.Contains(t, stderr.String(), "no space left on device")
	}
}

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestMainKnowsNoCommand(t *testing.T) {
	t.Setenv("DHTFS_HOME", t.TempDir())
	var stderr bytes.Buffer
	assert.Equal(t, 2, Main(t.Context(), []string{"frobnicate"}, strings.NewReader(""), io.Discard, &stderr))
	assert.Contains(t, stderr.String(), "unknown command")
}
