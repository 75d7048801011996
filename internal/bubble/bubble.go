package bubble

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Test runs f in a new bubble, as synctest.Test does. Under the race detector no
// other test of the process may run meanwhile, as the number of processors is
// the process's.
func Test(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if RaceDetector {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, f)
}
