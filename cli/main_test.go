package cli

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dhtfs": command})
}

// command is dhtfs as a program of its own, for scripts and for the daemons
// they start.
func command() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { cancel(Interrupted{Signal: <-signals}) }()
	os.Exit(Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// TestScripts runs testdata/script. Each script has homes a, b, … below $WORK;
// daemons that a script leaves running are stopped when it ends.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"json": jsonField, "killdaemon": killDaemon, "waitfor": waitFor, "until": until, "spoil": spoilFile},
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DHTFS_HTTP", "off")
			env.Defer(func() { stopAll(env.WorkDir) })
			return nil
		},
	})
}
