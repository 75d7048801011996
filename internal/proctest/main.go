//go:build unix

package proctest

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// playVariable tells a process started by a test to be dhtfs; its value is the
// test's process ID.
const playVariable = "DHTFS_PROCTEST_OF"

// Main is the whole of a TestMain: it runs the tests or, in a process that one
// of them has started, program, which is to end the process.
func Main(m *testing.M, program func()) {
	test, err := strconv.Atoi(os.Getenv(playVariable))
	if err != nil {
		if !bubble.RaceDetector { // tests with daemons mostly wait for them
			_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))) // the command line has its way all the same
		}
		os.Exit(m.Run())
	}
	go func() {
		for syscall.Kill(test, 0) == nil {
			time.Sleep(time.Second)
		}
		os.Exit(1)
	}()
	program()
}

// environment is what dhtfs is run with: nothing of the developer's own
// settings, and no second of sleep at the end of each command, which is what
// the race detector does otherwise.
func environment() []string {
	env := []string{playVariable + "=" + strconv.Itoa(os.Getpid()), "GORACE=atexit_sleep_ms=0"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DHTFS_") && !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "GORACE=") {
			env = append(env, v)
		}
	}
	return env
}

// Long reports whether the long variants of tests were asked for.
func Long() bool { return os.Getenv("DHTFS_LONG") != "" }
