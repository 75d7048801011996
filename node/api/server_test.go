package api

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/memnet"
)

// serveBrowser serves the loopback port's handler in memory.
func serveBrowser(t *testing.T, h *Handler) func() net.Conn {
	network := memnet.New(1)
	ln, err := network.Listen("daemon:1")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, h.Browser(), slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	return func() net.Conn {
		conn, err := network.Dialer("browser")(t.Context(), "tcp", "daemon:1")
		require.NoError(t, err)
		return conn
	}
}

// Headers, and bodies that are no content, that come by a byte a second.
func TestSlowRequestsAreCutOff(t *testing.T) {
	for name, first := range map[string]string{
		"headers": "GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
		"a login": "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n",
		"an invite": "POST /v1/invites HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n" +
			"Content-Length: 60000\r\n\r\n{\"uses\":",
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				conn := serveBrowser(t, New(Config{Token: "secret"}))()
				defer func() { _ = conn.Close() }()
				start := time.Now()
				go func() {
					for b := []byte(first); ; b = []byte("1") {
						if _, err := conn.Write(b); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				_, _ = io.Copy(io.Discard, conn)
				assert.LessOrEqual(t, time.Since(start), readTimeout+2*time.Second)
				_ = conn.Close()
				time.Sleep(2 * time.Second) // until the slow one has noticed
			})
		})
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		conn := serveBrowser(t, New(Config{}))()
		defer func() { _ = conn.Close() }()
		go func() {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 2*maxHeaderBytes)+"\r\n\r\n")
		}()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
		_ = response.Body.Close()
	})
}
