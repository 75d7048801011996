package simulate

import "testing"

// found are seeds that failed once, and what they found. The next run of a seed
// may take another course; so each is played a few times.
var found = []struct {
	seed uint64
	what string
}{
	{59, "a store refused because the name was taken was carried out later by an attempt still under way"},
	{9, "after restarts in a row around a lost disk no node claimed any part of the ring, and nothing was repaired any more"},
}

func TestFoundBefore(t *testing.T) {
	for _, f := range found {
		for range 2 {
			run(t, draw(f.seed), newTally())
			if t.Failed() {
				t.Fatalf("seed %d again: %s", f.seed, f.what)
			}
		}
	}
}
