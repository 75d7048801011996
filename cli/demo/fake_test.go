//go:build unix

package demo

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhtfs/dhtfs/node/api"
)

// TestMain lets the test binary play dhtfs when the demo starts it as that: a
// dhtfs that does what the tests need of it, misbehaviour included, with a
// directory for a ring. The real one is what `make demo` runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "--home" {
		if err := fake(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
			_ = json.NewEncoder(os.Stderr).Encode(map[string]any{"type": "exit_error", "code": 1, "message": err.Error()})
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// What the fakes are told and tell, by environment variables that the demo
// passes on.
const (
	fakePIDs = "FAKE_PIDS" // a file to which every daemon adds its process ID
	fakeFail = "FAKE_FAIL" // the command that fails
	fakeRot  = "FAKE_ROT"  // the name of a file that comes back with a byte changed
)

func fake(home, command string, args []string) error {
	if command == os.Getenv(fakeFail) {
		return fmt.Errorf("%s does not work today", command)
	}
	var names []string // what follows "--"
	for i, a := range args {
		if a == "--" {
			names = args[i+1:]
		}
	}
	ring := filepath.Join(filepath.Dir(home), "ring")
	switch command {
	case "join":
		if token, _ := io.ReadAll(os.Stdin); string(token) != "token\n" {
			return fmt.Errorf("%q is no token", token)
		}
		fallthrough
	case "up":
		return fakeUp(home)
	case "daemon":
		return fakeDaemon(home)
	case "invite":
		fmt.Println("token")
	case "status":
		alive := len(fakeAlive(home))
		return json.NewEncoder(os.Stdout).Encode(api.Status{Members: alive, Alive: alive})
	case "ring":
		fmt.Println("a ring of", len(fakeAlive(home)))
	case "stat":
		doc := api.Stat{File: api.File{Name: names[0], Want: 3}}
		holders := fakeAlive(home)
		for i := range min(3, len(holders)) {
			at := (i + int(sha256.Sum256([]byte(names[0]))[0])) % len(holders)
			doc.Holders = append(doc.Holders, api.Holder{Name: holders[at], State: "durable"})
		}
		return json.NewEncoder(os.Stdout).Encode(doc)
	case "store":
		for _, path := range names {
			if err := fakeStore(path, filepath.Join(ring, filepath.Base(path))); err != nil {
				return err
			}
			fmt.Printf("{\"type\":\"item\",\"sent\":1}\n")
		}
	case "fetch":
		for _, name := range names {
			if err := fakeFetch(filepath.Join(ring, name), filepath.Join(args[4], name), name == os.Getenv(fakeRot)); err != nil {
				return err
			}
		}
	case "logout":
		m := machine{home: home}
		m.pid, _ = m.daemon()
		fmt.Println(`{"schema":"dhtfs.logout/v1","moved":2,"short":["a"]}`)
		return m.signal(syscall.SIGTERM)
	}
	return nil
}

// fakeUp starts a daemon that outlives this process, and waits for it.
func fakeUp(home string) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0], "--home", home, "daemon")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	m := machine{home: home}
	for _, known := m.daemon(); !known; _, known = m.daemon() {
		time.Sleep(time.Millisecond)
	}
	return nil
}

func fakeDaemon(home string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	pids, err := os.OpenFile(os.Getenv(fakePIDs), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(pids, os.Getpid()); err != nil {
		return err
	}
	name := filepath.Join(home, "daemon.json")
	if err := os.WriteFile(name+".new", fmt.Appendf(nil, `{"pid":%d}`, os.Getpid()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	select {
	case <-stop:
	case <-time.After(time.Minute): // the test binary must end in any case
	}
	return os.Remove(name)
}

// fakeAlive lists the labels of the ring's living nodes.
func fakeAlive(home string) []string {
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(home), "*", "daemon.json"))
	var alive []string
	for _, f := range files {
		m := machine{home: filepath.Dir(f)}
		if pid, known := m.daemon(); known && !gone(pid) {
			alive = append(alive, filepath.Base(m.home))
		}
	}
	return alive
}

func fakeStore(path, to string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(path))
	}
	return fakeFetch(path, to, false)
}

func fakeFetch(from, to string, rot bool) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if rot {
		content[len(content)/2] ^= 1
	}
	if err := os.MkdirAll(filepath.Dir(strings.TrimSuffix(to, "/")), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
