package simulate

import (
	"fmt"
	"testing"

	"github.com/dhtfs/dhtfs/internal/bubble"
)

// found are seeds that failed once, and what they found. The next run of a seed
// may take another course; so each is played a few times.
var found = []struct {
	seed uint64
	what string
}{
	{59, "a store refused because the name was taken was carried out later by an attempt still under way"},
	{9, "after restarts in a row around a lost disk no node claimed any part of the ring, and nothing was repaired any more"},
	{4037, "who came back and had not heard of a newer member took a range for one that nobody had had; " +
		"and the first failure of a disk reached a client as an unknown error, which it does not try again after"},
	{4428, "a node whose disk was full could not start after a power failure"},
	{40451, "a journal was read block by block at a start; on a disk that takes seconds for everything " +
		"that took minutes, and others took the node's place meanwhile"},
	{50335, "a start brought the journal into the table at once, with the same result"},
	{90245, "a delete at a machine that was leaving ended with a refusal, which a client does not try again after"},
	{4666, "three machines that were alone found each other at one instant and made a ring that went round twice, for ever"},
}

func TestFoundBefore(t *testing.T) {
	for _, f := range found {
		t.Run(fmt.Sprint("seed ", f.seed), func(t *testing.T) {
			t.Log(f.what)
			for range bubble.Fewer(2) {
				run(t, draw(f.seed), newTally())
			}
		})
	}
}
