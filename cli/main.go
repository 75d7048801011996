package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"

	"golang.org/x/term"
)

// app is what the commands of one call share.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// documents is where JSON goes: stdout, unless that is for content.
	documents io.Writer

	global globalOptions
	paths  paths
	given  map[string]origin // where the value of each flag of the command came from
	begun  bool              // the command line was understood
	// jsonLines: with --json the command prints one document a line, warnings among them.
	jsonLines bool

	lines    sync.Mutex // one line at a time; guards what follows
	barShown bool       // a progress bar is on the last line of stderr
}

// Main runs one command line, without the program's name, and returns its exit
// code. When ctx ends with an Interrupted as its cause, that decides the code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{to: stdout}
	a := &app{stdin: stdin, stdout: out, stderr: stderr, documents: out, given: make(map[string]origin)}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err, a.begun = out.failure(), true
	}
	if !a.begun && slices.Contains(args, "--json") {
		a.global.json = true // what follows an error in the command line is not parsed
	}
	return a.exit(ctx, err)
}

// output is stdout. It remembers the first error, with which a command ends that had
// nothing else to complain of: an answer that did not get out, such as the token of an
// invite, has not been given.
type output struct {
	to  io.Writer
	mu  sync.Mutex
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = fmt.Errorf("print the answer: %w", err)
		}
	}
	return n, err
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// isTerminal reports whether a person is on the other end of f.
func isTerminal(f any) bool {
	if o, ok := f.(*output); ok {
		f = o.to
	}
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// version is that of the main module, as the go command stamped it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
