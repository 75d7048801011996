package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// readyTimeout is how long up and join wait for the node to be in its place.
const readyTimeout = time.Minute

// maxLog is the size at which the daemon's log is put aside at a start.
const maxLog = 10 << 20

// launch starts the daemon of this home in the background and returns when it
// is ready. The home must not be locked by this process.
func launch(ctx context.Context, a *app, arguments []string) (daemonInfo, error) {
	program, err := os.Executable()
	if err != nil {
		return daemonInfo{}, fmt.Errorf("find this program: %w", err)
	}
	log, err := openLog(a.paths.logFile())
	if err != nil {
		return daemonInfo{}, err
	}
	defer func() { _ = log.Close() }()
	begin, err := log.Seek(0, 2)
	if err != nil {
		return daemonInfo{}, err
	}
	args := []string{"daemon", "--json"}
	if a.paths.Home != "" {
		args = append(args, "--home="+a.paths.Home)
	}
	cmd := exec.Command(program, append(args, arguments...)...) //nolint:noctx // it outlives us
	cmd.Stderr = log
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return daemonInfo{}, fmt.Errorf("start the daemon: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, &api.Error{
		Code:    api.ExitUnreachable,
		ID:      "not_ready",
		Message: fmt.Sprintf("the daemon runs (process %d) but has not found its place on the ring within %s", cmd.Process.Pid, readyTimeout),
		Hint:    "it goes on trying:  " + a.command("status --wait ready"),
	})
	defer cancel()
	for {
		info, err := readDaemonInfo(a.paths.daemonFile())
		if err == nil && info.PID == cmd.Process.Pid {
			return info, waitReady(ctx, a)
		}
		select {
		case err := <-ended:
			return daemonInfo{}, lastWords(a.paths.logFile(), begin, err)
		case <-ctx.Done():
			return daemonInfo{}, context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
}

// aloneAfter is how long a node that finds none of the other members is waited
// for. It goes on looking for them by itself.
const aloneAfter = 5 * time.Second

// waitReady waits until the node is in its place, or none of the other members
// is there to give it one.
func waitReady(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	for {
		_, err := client.WaitReady(ctx, aloneAfter)
		if !errors.Is(err, node.ErrNotReady) {
			return err
		}
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if status.Members > 1 && status.Alive <= 1 {
			a.warn("none of the other %d members answers yet; this node goes on looking for them", status.Members-1)
			return nil
		}
	}
}

// openLog opens the daemon's log for appending; a long one is put aside first.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		_ = os.Rename(path, path+".1")
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the daemon's log: %w", err)
	}
	return log, nil
}

// lastWords is why a daemon ended before it was ready: the exit_error that it
// left as the last line of its log.
func lastWords(log string, begin int64, ended error) error {
	code := api.ExitError
	if exit, ok := errors.AsType[*exec.ExitError](ended); ok && exit.ExitCode() > 0 {
		code = exit.ExitCode()
	}
	raw, err := os.ReadFile(log)
	if err == nil && int64(len(raw)) >= begin {
		lines := bytes.Split(bytes.TrimSpace(raw[begin:]), []byte("\n"))
		var last exitError
		if json.Unmarshal(lines[len(lines)-1], &last) == nil && last.Type == "exit_error" {
			return &api.Error{Code: last.Code, ID: last.ID, Message: last.Message, Hint: last.Hint}
		}
	}
	return &api.Error{
		Code:    code,
		ID:      "daemon_failed",
		Message: fmt.Sprintf("the daemon ended before it was ready: %v", ended),
		Hint:    "its log says more: " + log,
	}
}
