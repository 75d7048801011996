//go:build unix

package main

import (
	"testing"

	"github.com/dhtfs/dhtfs/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m, main) }

// plainOnly leaves a test to the run without the race detector. What it does to
// daemons from outside has them run what the tests of their packages run under the
// detector, in a tenth of the time.
func plainOnly(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("only without the race detector")
	}
}
