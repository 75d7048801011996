package node_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// A disk that does not answer at all, neither reads nor writes. Its node goes on
// serving from other holders, the others do not wait for it, and after a minute it
// says that its disk has failed. A start makes it whole.
func TestADiskThatHangs(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		m := r.Members[1]
		content := noise(1, 3*filestore.ChunkSize)
		old, other := nameAt(t, r, m, "old"), nameAt(t, r, r.Members[2], "other")
		r.Store(r.Members[0], old, content, node.StoreOptions{})
		r.Store(r.Members[0], other, content, node.StoreOptions{})
		fetch := func(by *ringtest.Member, name string) func(context.Context) error {
			return func(ctx context.Context) error {
				got, f, err := ringtest.Fetch(ctx, by, name, node.FetchOptions{})
				assert.True(t, bytes.Equal(content, got), "%s at %s", name, by.Host)
				assert.True(t, f.Confirmed, "%s at %s", name, by.Host)
				return err
			}
		}
		release := m.Disk.Hang()
		defer release()
		for _, by := range r.Members {
			for _, name := range []string{old, other} {
				assert.Less(t, timed(t, fetch(by, name)), 8*time.Second, "fetch %s at %s", name, by.Host)
			}
		}
		assert.Less(t, timed(t, fetch(m, old)), time.Second, "its own disk is not waited for again")
		for _, by := range r.Others(m) {
			assert.Less(t, timed(t, func(ctx context.Context) error {
				got, err := by.FetchFirstFrom(ctx, old, m.Membership.Machine())
				assert.True(t, bytes.Equal(content, got))
				return err
			}), 10*time.Second, "fetch at %s, from the one that hangs first", by.Host)
			assert.Less(t, timed(t, func(ctx context.Context) error {
				_, err := by.Store(ctx, other, bytes.NewReader(content), node.StoreOptions{IfExists: node.Replace})
				return err
			}), 20*time.Second, "store at %s", by.Host)
		}
		r.Eventually(3*time.Minute, "it says so itself", func() bool { return m.Status(t.Context()).Degraded != "" })
		r.StoreAgain(m, old, []byte("stored through it"), replace)
		r.Eventually(time.Minute, "and the others know", func() bool {
			for _, x := range r.Members[0].Members(t.Context()) {
				if x.Machine == m.Membership.Machine() {
					return x.State == node.Degraded
				}
			}
			return false
		})
		release()
		r.Stop(m)
		r.Start(m)
		r.Ready(m)
		r.Whole(5 * time.Minute)
	})
}
