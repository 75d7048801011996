package simulate

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/internal/bubble"
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

// few are the seeds of a run that nothing else was asked of: the first, and how
// many. For the race detector it is one.
type few struct{ first, count uint64 }

// usual are enough for every kind of fault to strike.
var usual = few{40, 8}

// eachSeed plays the runs that the environment asks for, else a few, and returns
// how many they are. A bubble that fails ends the test: which seed it was is said then.
func eachSeed(t *testing.T, seeds few, draw func(seed uint64) plan, play func(plan)) (runs int) {
	t.Helper()
	if os.Getenv(seedsVariable) != "" {
		seeds.first = 1
	}
	first := number(t, firstVariable, seeds.first)
	last := first + number(t, seedsVariable, uint64(bubble.Fewer(int(seeds.count)))) - 1
	if s := number(t, seedVariable, 0); s != 0 {
		first, last = s, s
	}
	var current *plan
	t.Cleanup(func() {
		if t.Failed() && current != nil {
			t.Logf("seed %d failed: %v\nsee its steps with %s=%d go test -count=10 -failfast -v -run '^%s$' ./internal/simulate",
				current.seed, *current, seedVariable, current.seed, t.Name())
		}
	})
	for seed := first; seed <= last; seed++ {
		p := draw(seed)
		current = &p
		play(p)
	}
	current = nil
	return int(last - first + 1)
}

// TestSimulation plays seeded runs, see the package's comment.
func TestSimulation(t *testing.T) {
	counts := newTally()
	ops, known := 0, 0
	began := time.Now()
	runs := eachSeed(t, usual, draw, func(p plan) {
		for _, o := range run(t, p, counts).history.Ops {
			ops++
			if o.Result != unknown {
				known++
			}
		}
	})
	t.Logf("%d runs in %v: %d operations, %d answered\n%v", runs, time.Since(began), ops, known, counts)
	require.Greater(t, known, ops*8/10, "most operations come through")
	asked := os.Getenv(firstVariable) + os.Getenv(seedsVariable) + os.Getenv(seedVariable)
	if runs >= telling*len(faults) || asked == "" && !bubble.RaceDetector {
		for _, f := range faults {
			assert.NotZero(t, counts.of(f.name), "%s never happened", f.name)
		}
		for _, what := range []string{skewedClock, impatientClient, repeatedRequest} {
			assert.NotZero(t, counts.of(what), "%s never happened", what)
		}
	}
}
