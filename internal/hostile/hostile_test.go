package hostile

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// witness is a test that may fail.
type witness struct {
	testing.TB
	failed bool
}

func (w *witness) Helper()               {}
func (w *witness) Errorf(string, ...any) { w.failed = true }

var kept []byte

func TestGreedyDecodersAreFound(t *testing.T) {
	greedy := Decoder{Name: "greedy", Read: func(_ testing.TB, data []byte) {
		if len(data) > 0 {
			kept = make([]byte, int(data[0])<<20)
		}
	}}
	for first, want := range map[byte]bool{0: false, 1: true, 200: true} {
		w := &witness{TB: t}
		greedy.check(w, []byte{first})
		assert.Equal(t, want, w.failed, first)
	}
	kept = nil
}

func TestMutantsAreManyAndTheSame(t *testing.T) {
	examples := [][]byte{[]byte("an example of some length"), {}, []byte("another")}
	a, b := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	for range 1000 {
		m := mutant(a, examples)
		assert.Equal(t, m, mutant(b, examples))
		seen[string(m)] = true
	}
	assert.Greater(t, len(seen), 800)
	assert.Equal(t, "an example of some length", string(examples[0]), "the examples stay as they are")
}

func TestMutateReadsWhatItMade(t *testing.T) {
	t.Setenv("DHTFS_MUTANTS", "50")
	n := 0
	Mutate(t, Decoder{Name: "count", Examples: [][]byte{{1, 2, 3}}, Read: func(testing.TB, []byte) { n++ }})
	assert.GreaterOrEqual(t, n, 50)
}
