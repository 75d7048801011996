package node_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
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

// A place that another has taken is lost for good: who crashes at once, and comes
// back while the other is down, does not say that what is stored there is not.
func TestALostPlaceStaysLost(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 1, N: 1, W: 1, R: 1}, func(t *testing.T, r *ringtest.Ring) {
		first := r.Members[0]
		second := r.Join()
		name := ""
		for i := 0; name == "" || groupOf(t, r, name)[0] != second; i++ {
			name = fmt.Sprint("name ", i)
		}
		r.Crash(first)
		r.Store(second, name, []byte("content"), node.StoreOptions{})
		r.Crash(second)
		r.Start(first)
		r.Ready(first)
		time.Sleep(30 * time.Second)
		assert.False(t, first.SaysNotStored(name))
		r.Start(second)
		r.Ready(second)
	})
}
