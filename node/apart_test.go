package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// owned are so many names of a kind that a member owns, of those that nobody has
// stored.
func owned(t *testing.T, r *ringtest.Ring, kind string, by *ringtest.Member, count int) []string {
	t.Helper()
	var l []string
	for i := 0; len(l) < count; i++ {
		if name := fmt.Sprint(kind, "/", i); groupOf(t, r, name)[0] == by {
			l = append(l, name)
		}
	}
	return l
}

// Two members that cannot talk to each other, in both directions or in one,
// serve the names that the other owns as they serve any other: confirmed, stored
// by a majority, in a few seconds at first and without waiting later. That goes
// for neighbours on the ring as for those with others between them.
func TestTwoThatCannotTalk(t *testing.T) {
	type apart struct {
		name   string
		away   int
		oneWay bool
	}
	for _, c := range bubble.Some([]apart{{"successor", 1, false}, {"one way", 1, true}, {"predecessor", 4, false}, {"two on", 2, false}}, 2) {
		t.Run(c.name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				r.Settled()
				a := r.Members[0]
				b := memberAfter(r, a, c.away)
				old, gone, fresh := owned(t, r, "old", b, 4), owned(t, r, "gone", b, 4), owned(t, r, "fresh", b, 4)
				for i, name := range old {
					r.Store(r.Members[i%5], name, []byte("old"), node.StoreOptions{})
					r.Store(r.Members[i%5], gone[i], []byte("gone"), node.StoreOptions{})
				}
				r.Net.Cut(a.Host, b.Host)
				if !c.oneWay {
					r.Net.Cut(b.Host, a.Host)
				}
				for i, wait := range []time.Duration{0, 10 * time.Second, time.Minute, 2 * time.Minute} {
					time.Sleep(wait)
					limit := 6 * time.Second // a call that times out, and content that does: it is asked again now and then
					if i == 0 {
						limit = 15 * time.Second
					}
					within(t, limit, "fetch", func() { r.CheckName(a, old[i], []byte("old")) })
					within(t, limit, "replace", func() { r.Store(a, old[i], []byte("new"), replace) })
					within(t, limit, "store", func() { r.Store(a, fresh[i], []byte("fresh"), node.StoreOptions{}) })
					within(t, limit, "delete", func() { require.NoError(t, a.Delete(t.Context(), gone[i], filestore.OpID{}, 0)) })
					r.Acknowledged(gone[i], nil)
					within(t, limit, "fetch again", func() { r.CheckName(a, old[i], []byte("new")) })
					r.CheckName(a, gone[i], nil)
				}
				r.Net.HealAll()
				r.Whole(2 * time.Minute)
			})
		})
	}
}

// Either of two members that cannot talk to each other learns soon that a name is
// not stored, and can store it, whoever owns it. Of the name's group, one may be out
// of its reach, and another not know the range.
func TestTwoThatCannotTalkMissNothing(t *testing.T) {
	for _, oneWay := range bubble.Some([]bool{true, false}, 1) {
		t.Run(fmt.Sprint("one way ", oneWay), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				r.Settled()
				a := r.Members[0]
				b := memberAfter(r, a, 1)
				waits := []time.Duration{0, 20 * time.Second, 2 * time.Minute}
				names := map[*ringtest.Member][]string{}
				for _, owner := range r.Members {
					names[owner] = owned(t, r, "of "+owner.Host, owner, 2*len(waits))
				}
				r.Net.Cut(a.Host, b.Host)
				if !oneWay {
					r.Net.Cut(b.Host, a.Host)
				}
				for i, wait := range waits {
					time.Sleep(wait)
					limit := 4 * time.Second // a call that times out: the other is asked again now and then
					if i == 0 {
						limit = 15 * time.Second
					}
					for k, m := range []*ringtest.Member{a, b} {
						for _, owner := range r.Members {
							name, what := names[owner][2*i+k], m.Host+", owned by "+owner.Host
							within(t, limit, "look at "+what, func() { r.CheckName(m, name, nil) })
							within(t, limit, "store at "+what, func() { r.Store(m, name, []byte(what), node.StoreOptions{}) })
							within(t, limit, "fetch at "+what, func() { r.CheckName(m, name, []byte(what)) })
						}
					}
				}
				r.Net.HealAll()
				r.Whole(2 * time.Minute)
			})
		})
	}
}

// within fails the test unless f takes no longer than limit.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	assert.LessOrEqual(t, time.Since(start), limit, what)
}

// memberAfter is the member so many places after another on the ring.
func memberAfter(r *ringtest.Ring, m *ringtest.Member, away int) *ringtest.Member {
	return r.Member(m.Fingers()[0].Successors[away-1].Machine)
}
