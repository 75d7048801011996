package node_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/internal/ringtest"
)

// A ring that grows takes names away from those who were there: none of them may
// say any more that such a name is not stored, from the moment that those are
// ready who took its place.
func TestOnlyTheGroupKnowsWhatIsNotStored(t *testing.T) {
	ringtest.Test(t, ringtest.Options{}, func(t *testing.T, r *ringtest.Ring) {
		for range 7 {
			r.Join()
			for i := range 50 {
				name := fmt.Sprint("name ", i)
				group := groupOf(t, r, name)
				for _, m := range r.Members {
					if !slices.Contains(group, m) {
						assert.False(t, m.SaysNotStored(name), "%s of %q", m.Host, name)
					}
				}
			}
		}
	})
}
