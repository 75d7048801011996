//go:build unix

package proctest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Node is one home and its daemon. Its methods may be called concurrently.
type Node struct {
	Name string
	Home string
	// Prefix is put before the commands that start the daemon, as in
	// "ip netns exec NAME". Empty: nothing.
	Prefix []string
	// Listen is where the daemon listens. Empty: a free port of 127.0.0.1.
	Listen string
	// Flags are more flags for the daemon when it starts the first time.
	Flags []string
}

// Daemon is what a node's daemon.json says.
type Daemon struct {
	PID    int    `json:"pid"`
	Socket string `json:"socket"`
	HTTP   string `json:"http"` // empty when it is off
	Listen string `json:"listen"`
	NodeID string `json:"node_id"`
}

// Args puts the node's home before the arguments of a command.
func (n *Node) Args(args ...string) []string {
	return append([]string{"--home", n.Home}, args...)
}

// Run runs a dhtfs command at this node to its end.
func (n *Node) Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Run(t, n.Args(args...)...)
}

// flags are what a daemon is started with the first time.
func (n *Node) flags() []string {
	return append([]string{"--listen", cmp.Or(n.Listen, "127.0.0.1:0"), "--http", "off", "--name", n.Name}, n.Flags...)
}

func (n *Node) startJoin(t testing.TB, token string) *Command {
	t.Helper()
	return n.startDaemon(t, strings.NewReader(token), append([]string{"join", "-"}, n.flags()...)...)
}

// startDaemon starts a command that starts the node's daemon.
func (n *Node) startDaemon(t testing.TB, stdin io.Reader, args ...string) *Command {
	t.Helper()
	return startWith(t, n.Prefix, stdin, nil, n.Args(args...)...)
}

// Up starts the daemon of a member and waits until it is ready.
func (n *Node) Up(t testing.TB) {
	t.Helper()
	n.startDaemon(t, nil, "up").Wait(t).OK(t)
	n.WaitReady(t)
}

// WaitReady waits until the node is in its place.
func (n *Node) WaitReady(t testing.TB) {
	t.Helper()
	n.Run(t, "status", "--wait", "ready", "--timeout", "60s").OK(t)
}

// Daemon reads daemon.json, which must be there.
func (n *Node) Daemon(t testing.TB) Daemon {
	t.Helper()
	d := n.daemon()
	require.NotZero(t, d.PID, "%s has no daemon.json", n.Name)
	return d
}

func (n *Node) daemon() (d Daemon) {
	if raw, err := os.ReadFile(filepath.Join(n.Home, "daemon.json")); err == nil {
		_ = json.Unmarshal(raw, &d)
	}
	return d
}

// Signal sends the daemon a signal.
func (n *Node) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(n.Daemon(t).PID, s))
}

// Kill ends the daemon with SIGKILL.
func (n *Node) Kill(t testing.TB) { Kill(t, n) }

// Kill ends several daemons at once with SIGKILL.
func Kill(t testing.TB, nodes ...*Node) {
	t.Helper()
	pids := make([]int, len(nodes))
	for i, n := range nodes {
		pids[i] = n.Daemon(t).PID
	}
	for _, pid := range pids {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	for _, pid := range pids {
		waitEnded(t, pid)
	}
}

// waitEnded waits until a process that was killed has ended.
func waitEnded(t testing.TB, pid int) {
	t.Helper()
	Eventually(t, 10*time.Second, func() error {
		if alive(pid) {
			return fmt.Errorf("process %d was killed and lives", pid)
		}
		return nil
	})
}

// Running reports whether the node has a daemon.
func (n *Node) Running() bool { return n.running() != 0 }

// running returns the process ID of the node's daemon, 0 when it has none: a
// daemon that was killed has left its daemon.json, and its number may have been
// given to another process.
func (n *Node) running() int {
	pid := n.daemon().PID
	if pid == 0 || !alive(pid) {
		return 0
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !bytes.Contains(line, []byte("--home="+n.Home+"\x00")) {
		return 0
	}
	return pid
}

// alive reports whether a process runs. One that has ended and that nobody has
// waited for yet does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // no such file system here
	}
	return !strings.HasPrefix(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " Z")
}

// Files lists what is below the directory of the node's content, by paths
// relative to it, its own working files left out.
func (n *Node) Files(t testing.TB) []string {
	t.Helper()
	files, _ := n.content(t)
	return files
}

// Temporaries lists the temporary files below the directory of the node's content.
func (n *Node) Temporaries(t testing.TB) []string {
	t.Helper()
	_, temporaries := n.content(t)
	return temporaries
}

func (n *Node) content(t testing.TB) (files, temporaries []string) {
	t.Helper()
	root := filepath.Join(n.Home, "files")
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		if err != nil || d.IsDir() {
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(d.Name(), ".dhtfs-"):
			temporaries = append(temporaries, relative)
		case !strings.HasPrefix(d.Name(), "."):
			files = append(files, relative)
		}
		return nil
	}))
	return files, temporaries
}

// PeakMemory is the most memory that the daemon has had resident so far, in
// bytes; 0 where the system does not tell.
func (n *Node) PeakMemory(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.Daemon(t).PID))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	_, err = fmt.Sscan(rest, &kilobytes)
	require.NoError(t, err)
	return kilobytes << 10
}

// CPU is how long the daemon has computed so far, for itself and in the system; 0
// where the system does not tell.
func (n *Node) CPU(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.Daemon(t).PID))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	var user, system int64                                                    // in ticks, of which Linux shows 100 a second
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	require.NoError(t, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// Log returns what the daemon has logged, the log set aside included.
func (n *Node) Log() string { return string(n.logs()) }

// logs returns what the daemon has logged, the log set aside included.
func (n *Node) logs() []byte {
	path := filepath.Join(n.Home, "logs", "daemon.log")
	old, _ := os.ReadFile(path + ".1")
	log, _ := os.ReadFile(path)
	return append(old, log...)
}
