package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crewOf is a node that does not run, with a crew of so many.
func crewOf(t *testing.T, hands int) *Node {
	n := idle(t)
	t.Cleanup(func() { require.NoError(t, n.store.Close()) })
	n.repair.crew.slots = make(chan struct{}, hands)
	return n
}

func TestNamesWithTheFewestCopiesComeFirst(t *testing.T) {
	n := crewOf(t, 1)
	var order []int
	var jobs []job
	for i, copies := range []int{3, 1, repairLast, 2, 1, 0} {
		jobs = append(jobs, job{fmt.Sprint(i), copies, func(context.Context) error {
			order = append(order, copies)
			return nil
		}})
	}
	r := &roundResult{}
	n.carryOut(t.Context(), jobs, r)
	assert.Equal(t, []int{0, 1, 1, 2, 3, repairLast}, order)
	assert.False(t, r.failed)
}

func TestARoundEndsWhenTheRingChanges(t *testing.T) {
	n := crewOf(t, 1)
	begun := 0
	var jobs []job
	interrupted := make(chan struct{})
	for i := range 10 {
		jobs = append(jobs, job{fmt.Sprint(i), 0, func(context.Context) error {
			begun++
			signal(n.wake.joined)
			<-interrupted
			return nil
		}})
	}
	r := &roundResult{}
	n.carryOut(t.Context(), jobs, r) // does not wait for the one that has begun
	close(interrupted)
	n.repair.crew.wg.Wait()
	assert.True(t, r.interrupted)
	assert.Equal(t, 1, begun)
}

func TestOneJobANameAtATime(t *testing.T) {
	n := crewOf(t, 4)
	var mu sync.Mutex
	at, most, failures := 0, 0, 0
	hold, all := make(chan struct{}), make(chan struct{})
	j := job{"name", 0, func(context.Context) error {
		mu.Lock()
		at++
		most = max(most, at)
		mu.Unlock()
		<-hold
		mu.Lock()
		at--
		mu.Unlock()
		return errors.New("failed")
	}}
	c := n.repair.crew
	for range 3 {
		require.True(t, c.begin(t.Context(), j, func(err error) {
			if err != nil {
				failures++
				close(all)
			}
		}, nil))
	}
	close(hold)
	<-all
	c.wg.Wait()
	assert.Equal(t, 1, most)
	assert.Equal(t, 1, failures, "the others were not begun")
}
