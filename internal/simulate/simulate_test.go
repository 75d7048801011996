package simulate

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Seeds are chosen from the environment:
//
//	DHTFS_SIM_SEEDS  how many seeds to run
//	DHTFS_SIM_FIRST  the first of them; 1 if it is not given
//	DHTFS_SIM_SEED   run this seed alone and print each of its steps
//
// A seed fixes the ring, the faults and what clients ask for, not how goroutines
// take turns: a failure may need several runs to come again.
const (
	seedsVariable = "DHTFS_SIM_SEEDS"
	firstVariable = "DHTFS_SIM_FIRST"
	seedVariable  = "DHTFS_SIM_SEED"
	defaultSeeds  = 4
	telling       = 3 // runs a kind of fault, after which each must have struck
)

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(variable)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	require.NoError(t, err, variable)
	return n
}

// TestSimulation plays seeded runs, see the package's comment.
func TestSimulation(t *testing.T) {
	first := number(t, firstVariable, 1)
	last := first + number(t, seedsVariable, defaultSeeds) - 1
	if s := number(t, seedVariable, 0); s != 0 {
		first, last = s, s
	}
	counts := newTally()
	ops, known := 0, 0
	began := time.Now()
	for seed := first; seed <= last; seed++ {
		w := run(t, draw(seed), counts)
		if t.Failed() {
			t.Fatalf("seed %d failed: %v\nsee its steps with %s=%d go test -count=10 -failfast -v -run '^%s$' ./internal/simulate",
				seed, draw(seed), seedVariable, seed, t.Name())
		}
		for _, o := range w.history.ops {
			ops++
			if o.result != unknown {
				known++
			}
		}
	}
	runs := int(last - first + 1)
	t.Logf("%d runs in %v: %d operations, %d answered\n%v", runs, time.Since(began), ops, known, counts)
	require.Greater(t, known, ops*8/10, "most operations come through")
	if runs >= telling*len(faults) {
		for _, f := range faults {
			assert.NotZero(t, counts.of(f.name), "%s never happened", f.name)
		}
	}
}
