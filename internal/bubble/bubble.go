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

// Some are the cases of a test, but for the race detector so many of the first: those
// that run other code than the rest.
func Some[T any](cases []T, few int) []T {
	if RaceDetector {
		return cases[:min(few, len(cases))]
	}
	return cases
}

// Fewer is n, but for the race detector a tenth of it, at least one: so many seeds
// a test tries, or how large it is, if the plain run is to find what is wrong and
// the race detector has seen all code that it reaches with less.
func Fewer(n int) int {
	if RaceDetector {
		return max(1, n/10)
	}
	return n
}
