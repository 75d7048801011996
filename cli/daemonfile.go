package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/api"
)

// daemonInfo is daemon.json: how to reach a running daemon.
type daemonInfo struct {
	PID     int       `json:"pid"`
	Socket  string    `json:"socket"`
	HTTP    string    `json:"http"`   // host:port of the dashboard, empty when it is off
	Listen  string    `json:"listen"` // host:port of the ring
	NodeID  string    `json:"node_id"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

func readDaemonInfo(path string) (daemonInfo, error) {
	var info daemonInfo
	raw, err := os.ReadFile(path)
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return info, fmt.Errorf("read %s: %w", path, err)
	}
	return info, nil
}

func (i daemonInfo) write(path string) error {
	raw, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return filestore.ReplaceFile(path, append(raw, '\n'))
}

// client calls the daemon of this home, which it looks up for each connection.
func (a *app) client() *api.Client {
	return api.NewClient(func(ctx context.Context) (net.Conn, error) {
		info, err := readDaemonInfo(a.paths.daemonFile())
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w for %s", api.ErrNoDaemon, a.paths.place())
		}
		if err != nil {
			return nil, err
		}
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", info.Socket)
		if err != nil {
			return nil, fmt.Errorf("%w for %s: process %d has left %s behind", api.ErrNoDaemon, a.paths.place(), info.PID, a.paths.daemonFile())
		}
		err = greet(ctx, conn, answerTime)
		if err == nil {
			return conn, nil
		}
		_ = conn.Close()
		if errors.Is(err, api.ErrSilent) {
			err = fmt.Errorf("%w: process %d for %s has taken no call within %v", err, info.PID, a.paths.place(), answerTime)
		}
		return nil, err
	})
}

// lockHome takes the home for this process until unlock is called. It is
// filestore.ErrLocked when another process has it.
func lockHome(p paths) (unlock func(), err error) {
	lock := flock.New(p.lockFile(), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", p.place(), err)
	}
	if !ok {
		return nil, fmt.Errorf("the home %s: %w", p.place(), filestore.ErrLocked)
	}
	return func() { _ = lock.Unlock() }, nil
}

// pollInterval is how often another process is looked at that cannot tell us.
const pollInterval = 20 * time.Millisecond

// waitUnlocked waits until no process has the home.
func waitUnlocked(ctx context.Context, p paths) error {
	for {
		unlock, err := lockHome(p)
		if err == nil {
			unlock()
			return nil
		}
		if !errors.Is(err, filestore.ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
}
