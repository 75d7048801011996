package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/dhtfs/dhtfs/transfer"
)

// stopGrace is how long calls in progress may go on once Serve was told to stop.
const stopGrace = 5 * time.Second

// maxConns bounds the connections of one listener, and so does an eighth of the file
// descriptors; more wait to be accepted.
const maxConns = 128

// Serve answers calls on ln until ctx ends, then waits a moment for those in
// progress, and returns nil. It closes ln.
func Serve(ctx context.Context, ln net.Listener, handler http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(netutil.LimitListener(ln, max(2, min(maxConns, transfer.MaxOpenFiles()/8))))
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the local API on %s: %w", ln.Addr(), err)
}

// maxSocketPath is what fits a socket address everywhere: 104 bytes on macOS,
// 108 on Linux, with the NUL.
const maxSocketPath = 103

// SocketPath returns where the socket of a node with state directory dir goes:
// dir/daemon.sock, or, where that is too long for a socket address, a file in
// a new private directory below the user's runtime directory.
func SocketPath(dir string) (string, error) {
	path := filepath.Join(dir, "daemon.sock")
	if len(path) <= maxSocketPath {
		return path, nil
	}
	short, err := os.MkdirTemp(os.Getenv("XDG_RUNTIME_DIR"), socketDirPrefix)
	if err != nil {
		return "", fmt.Errorf("make a directory for the socket: %w", err)
	}
	path = filepath.Join(short, "daemon.sock")
	if len(path) > maxSocketPath {
		_ = os.Remove(short)
		return "", fmt.Errorf("no path is short enough for a socket: set XDG_RUNTIME_DIR to a short one, not %s", filepath.Dir(short))
	}
	return path, nil
}

const socketDirPrefix = "dhtfs-"

// ListenSocket listens on the unix socket at path, which only its owner can
// open. A socket that an earlier process left there is replaced, so the caller
// must know that none is running. Its connections take open files.
func ListenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return takesFiles(ln), nil
}

// RemoveSocket removes what SocketPath and ListenSocket made for path.
func RemoveSocket(path string) {
	_ = os.Remove(path)
	if parent := filepath.Dir(path); strings.HasPrefix(filepath.Base(parent), socketDirPrefix) {
		_ = os.Remove(parent) // fails, as it should, when something else is in it
	}
}
