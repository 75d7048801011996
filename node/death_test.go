package node_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// staged counts the copies that members have ever begun to make.
func staged(members []*ringtest.Member) int {
	n := 0
	for _, m := range members {
		n += m.Disk.Staged()
	}
	return n
}

func TestARestartCopiesNothing(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 6}, func(t *testing.T, r *ringtest.Ring) {
		r.StoreMany(40)
		time.Sleep(time.Minute)
		before := staged(r.Members)
		for _, m := range r.Members {
			r.Crash(m)
			time.Sleep(9 * time.Second) // the ring has closed the gap
			r.Start(m)
			r.Ready(m)
			time.Sleep(30 * time.Second)
		}
		time.Sleep(3 * time.Minute)
		assert.Equal(t, before, staged(r.Members), "copies made")
		assert.Empty(t, r.Lacks())
	})
}

func TestTheDeadAreReplaced(t *testing.T) {
	for name, end := range map[string]func(*ringtest.Ring, ...*ringtest.Member){
		"crashed": (*ringtest.Ring).Crash, "lost": (*ringtest.Ring).Lose,
	} {
		t.Run(name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 6}, func(t *testing.T, r *ringtest.Ring) {
				r.StoreMany(40)
				time.Sleep(time.Minute)
				victim := r.Members[2]
				before := staged(r.Others(victim))
				end(r, victim)
				time.Sleep(10 * time.Second)
				assert.Equal(t, before, staged(r.Up()), "copies made before RepairAfter")
				assert.NotEmpty(t, r.Lacks())
				start := time.Now()
				r.Whole(time.Minute)
				t.Log("whole again after", time.Since(start)+10*time.Second)
				for _, m := range r.Up() {
					r.Eventually(5*time.Second, m.Host+" says so", func() bool {
						return m.Status(t.Context()).CopiesMissing == 0
					})
				}
				r.Start(victim)
				r.Ready(victim)
				r.Whole(time.Minute)
			})
		})
	}
}

// Two of a name's three voters are gone: what is left can be read, and says that
// it may be old; it cannot be changed until it is taken over.
func TestTwoOfAGroupDead(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 6, Timing: node.Timing{TakeOver: time.Hour}}, func(t *testing.T, r *ringtest.Ring) {
		content := noise(1, filestore.ChunkSize+1)
		r.Store(r.Members[1], "file", content, node.StoreOptions{})
		r.Store(r.Members[1], "gone", content, node.StoreOptions{})
		r.Delete(r.Members[1], "gone")
		group := groupOf(t, r, "file")
		r.Crash(group[:2]...)
		for _, wait := range []time.Duration{0, 5 * time.Second, 30 * time.Second} {
			time.Sleep(wait)
			for _, m := range r.Up() {
				got, f, err := ringtest.Fetch(t.Context(), m, "file", node.FetchOptions{})
				require.NoError(t, err, "at %s", m.Host)
				assert.True(t, bytes.Equal(content, got))
				assert.False(t, f.Confirmed)
				_, err = m.Store(t.Context(), "file", bytes.NewReader([]byte("new")), node.StoreOptions{IfExists: node.Replace})
				assert.ErrorIs(t, err, node.ErrUnavailable)
				assert.ErrorIs(t, m.Delete(t.Context(), "file", filestore.OpID{}, 0), node.ErrUnavailable)
			}
		}
		r.Start(group[0])
		r.Ready(group[0])
		for _, m := range r.Up() {
			r.CheckName(m, "file", content)
		}
		r.Store(group[2], "file", []byte("new"), node.StoreOptions{IfExists: node.Replace})
		r.Start(group[1])
		r.Ready(group[1])
		r.Whole(time.Minute)
	})
}

// Whatever is down, a name that is stored is never said not to be.
func TestNoFalseNotFound(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 6}, func(t *testing.T, r *ringtest.Ring) {
		names := r.StoreMany(20)
		for i, m := range r.Members {
			next := r.Members[(i+1)%len(r.Members)]
			r.Crash(next)
			r.Lose(m)
			r.Start(m) // with nothing on its disk
			for _, name := range names {
				for _, by := range r.Up() {
					_, _, err := ringtest.Fetch(t.Context(), by, name, node.FetchOptions{})
					require.NotErrorIs(t, err, node.ErrNotFound, "%s at %s", name, by.Host)
				}
			}
			r.Start(next)
			r.Ready(next, m)
			r.Whole(2 * time.Minute)
		}
	})
}

func TestTheWholeRingRestarts(t *testing.T) {
	for name, end := range map[string]func(*ringtest.Ring, ...*ringtest.Member){
		"after a power cut": (*ringtest.Ring).Crash,
		"one by one": func(r *ringtest.Ring, members ...*ringtest.Member) {
			for _, m := range members {
				r.Stop(m)
				time.Sleep(2 * time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
				names := r.StoreMany(20)
				r.Delete(r.Members[0], names[3])
				time.Sleep(2 * time.Minute)
				before := staged(r.Members)
				end(r, r.Members...)
				time.Sleep(time.Hour)
				for i, m := range r.Members {
					r.Start(m)
					if i == 0 { // alone it does not know what became of the rest
						r.Ready(m)
						_, err := m.Fetch(t.Context(), "nothing", node.FetchOptions{})
						assert.ErrorIs(t, err, node.ErrUnavailable)
					}
					time.Sleep(time.Second)
				}
				r.Ready(r.Members...)
				r.Acknowledged("nothing", nil) // it may be said that there is no such name
				r.Whole(10 * time.Second)
				time.Sleep(2 * time.Minute)
				assert.Equal(t, before, staged(r.Members), "copies made")
			})
		})
	}
}
