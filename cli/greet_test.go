package cli

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/node/api"
)

// socketOf listens on a socket and returns a connection to it.
func socketOf(t *testing.T) (net.Listener, net.Conn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	conn, err := net.Dial("unix", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return listener, conn
}

func TestADaemonThatAcceptsNothing(t *testing.T) {
	_, conn := socketOf(t)
	err := greet(t.Context(), conn, time.Millisecond)
	require.ErrorIs(t, err, api.ErrSilent)
	a, _, stderr := testApp(false)
	assert.Equal(t, api.ExitNoDaemon, a.exit(t.Context(), err))
	assert.Contains(t, stderr.String(), "the daemon does not answer")
	assert.Contains(t, stderr.String(), "hint: ")
}

func TestASignalEndsTheGreeting(t *testing.T) {
	_, conn := socketOf(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(Interrupted{Signal: os.Interrupt})
	require.ErrorIs(t, greet(ctx, conn, time.Hour), Interrupted{Signal: os.Interrupt})
}

func TestADaemonThatGoesAwayWhenGreeted(t *testing.T) {
	listener, conn := socketOf(t)
	there, err := listener.Accept()
	require.NoError(t, err)
	require.NoError(t, there.Close())
	require.ErrorIs(t, greet(t.Context(), conn, time.Hour), api.ErrDaemonGone)
}

// After the greeting the connection is as good as new, for whatever daemon.
func TestGreetedConnectionsServeCalls(t *testing.T) {
	listener, conn := socketOf(t)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Method + " " + r.URL.Path))
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	require.NoError(t, greet(t.Context(), conn, time.Hour))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/call", nil)
	require.NoError(t, err)
	require.NoError(t, request.Write(conn))
	answer := make([]byte, 1024)
	n, err := conn.Read(answer)
	require.NoError(t, err)
	assert.Contains(t, string(answer[:n]), "GET /call")
}
