package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// jsonField checks a field of the last JSON line in stdout or stderr:
//
//	json stdout files.0.name 'report.pdf'
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json stdout|stderr FIELD VALUE")
	}
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	text := lines[len(lines)-1]
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		text = strings.Join(lines, "\n") // one document on several lines
		ts.Check(json.Unmarshal([]byte(text), &value))
	}
	for _, key := range strings.Split(args[1], ".") {
		switch v := value.(type) {
		case map[string]any:
			field, ok := v[key]
			if !ok {
				ts.Fatalf("no field %s in %s", args[1], text)
			}
			value = field
		case []any:
			i, err := strconv.Atoi(key)
			ts.Check(err)
			if i >= len(v) {
				ts.Fatalf("no element %s in %s", args[1], text)
			}
			value = v[i]
		default:
			ts.Fatalf("no field %s in %s", args[1], text)
		}
	}
	if got := fmt.Sprint(value); (got == args[2]) == neg {
		ts.Fatalf("%s is %q in %s", args[1], got, text)
	}
}

// killDaemon ends the daemon of a home as kill -9 does.
func killDaemon(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: killdaemon HOME")
	}
	info, err := readDaemonInfo(filepath.Join(ts.MkAbs(args[0]), "daemon.json"))
	ts.Check(err)
	process, err := os.FindProcess(info.PID)
	ts.Check(err)
	ts.Check(process.Kill())
}

// spoilFile flips a bit of the one file that a pattern matches.
func spoilFile(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: spoil PATTERN")
	}
	paths, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(paths) != 1 {
		ts.Fatalf("%s matches %d files", args[0], len(paths))
	}
	content, err := os.ReadFile(paths[0])
	ts.Check(err)
	content[0] ^= 1
	ts.Check(os.WriteFile(paths[0], content, 0o600))
}

// waitFor waits until the ring of the home in the environment has a name.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: waitfor NAME")
	}
	for deadline := time.Now().Add(time.Minute); ts.Exec("dhtfs", "exists", args[0]) != nil; time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not stored", args[0])
		}
	}
}

// until repeats a command until its standard output matches a pattern.
func until(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND [ARG...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(pollInterval) {
		if ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v never printed %s", args[1:], args[0])
		}
	}
}

// stopAll ends every daemon whose home is below dir.
func stopAll(dir string) {
	homes, _ := filepath.Glob(filepath.Join(dir, "*", "daemon.json"))
	for _, path := range homes {
		info, err := readDaemonInfo(path)
		if err != nil {
			continue
		}
		if process, err := os.FindProcess(info.PID); err == nil {
			_ = process.Kill()
		}
	}
}
