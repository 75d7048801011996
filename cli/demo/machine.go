package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startTime = time.Minute      // for up and join
	stopTime  = 10 * time.Second // for a daemon that was asked to stop
	pollEvery = 10 * time.Millisecond
)

// state is what became of a machine's daemon.
type state int

const (
	idle state = iota // not started
	running
	killed
	left // logged out
)

// machine is one node of the demo: a home, and a daemon that serves it.
type machine struct {
	label   string
	home    string
	program string
	state   state
	pid     int // of the daemon, 0 while there is none
}

// names for the first machines; more are numbered.
var names = [...]string{"otter", "birch", "cedar", "heron", "maple", "robin", "tulip"}

func newMachines(program, dir string, n int) []*machine {
	all := make([]*machine, n)
	for i := range all {
		label := fmt.Sprintf("node-%d", i+1)
		if i < len(names) {
			label = names[i]
		}
		all[i] = &machine{label: label, home: filepath.Join(dir, label), program: program}
	}
	return all
}

// command runs one dhtfs command on m's home and returns what it printed. A
// failure carries the command's own message and comes with what was printed.
func (m *machine) command(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, m.program, append([]string{"--home", m.home}, args...)...)
	cmd.Env = environment(os.Environ())
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = stopTime
	ownGroup(cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return stdout.Bytes(), fmt.Errorf("dhtfs %s on %s: %w%s", args[0], m.label, err, said(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// start runs up or join, which start the daemon. It is not cut short when ctx
// ends, only afterwards, so that no daemon comes up behind our back.
func (m *machine) start(ctx context.Context, stdin string, args ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTime)
	defer cancel()
	args = append(args, "--listen", "127.0.0.1:0", "--http", "off", "--name", m.label, "--min-free", "1MiB")
	_, err := m.command(patient, stdin, args...)
	if pid, known := m.daemon(); known {
		m.pid, m.state = pid, running
	}
	return errors.Join(err, ctx.Err())
}

// daemon reads the daemon's process ID where the daemon leaves it.
func (m *machine) daemon() (pid int, known bool) {
	content, err := os.ReadFile(filepath.Join(m.home, "daemon.json"))
	if err != nil {
		return 0, false
	}
	var doc struct{ PID int }
	err = json.Unmarshal(content, &doc)
	return doc.PID, err == nil && doc.PID > 0
}

// kill ends the daemon with SIGKILL and waits until it is gone.
func (m *machine) kill() error {
	if err := m.signal(os.Kill); err != nil {
		return err
	}
	if err := m.awaitGone(); err != nil {
		return err
	}
	m.state = killed
	return nil
}

// stop ends the daemon if there is one, gently first.
func (m *machine) stop() error {
	if m.pid == 0 || gone(m.pid) {
		return nil
	}
	if err := m.signal(syscall.SIGTERM); err == nil && m.awaitGone() == nil {
		return nil
	}
	return m.kill()
}

// signal sends sig to the daemon; one that is gone already is no error.
func (m *machine) signal(sig os.Signal) error {
	process, err := os.FindProcess(m.pid)
	if err == nil {
		err = process.Signal(sig)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s (process %d): %w", m.label, m.pid, err)
	}
	return nil
}

// awaitGone waits until the daemon's process has ended.
func (m *machine) awaitGone() error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for deadline := time.Now().Add(stopTime); !gone(m.pid); <-tick.C {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s (process %d) still runs after %s", m.label, m.pid, stopTime)
		}
	}
	m.pid = 0 // the number may soon be another process's
	return nil
}

// environment is ours without the settings that would reach into the nodes.
func environment(ours []string) []string {
	var theirs []string
	for _, pair := range ours {
		if !strings.HasPrefix(pair, "DHTFS_") {
			theirs = append(theirs, pair)
		}
	}
	return theirs
}

// said is the last line of what a command wrote to stderr: with --json, the
// message of its error document.
func said(stderr string) string {
	all := strings.Split(strings.TrimSpace(stderr), "\n")
	last := all[len(all)-1]
	var doc struct{ Message string }
	if json.Unmarshal([]byte(last), &doc) == nil && doc.Message != "" {
		last = doc.Message
	} else {
		for _, line := range all {
			if message, ok := strings.CutPrefix(line, "error: "); ok {
				last = message
			}
		}
	}
	if last == "" {
		return ""
	}
	return ": " + last
}
