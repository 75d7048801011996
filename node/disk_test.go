package node_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// nameAt returns a name whose voters include a member, and one that has it for
// its owner's successor or later.
func nameAt(t *testing.T, r *ringtest.Ring, m *ringtest.Member, prefix string) string {
	t.Helper()
	for i := range 200 {
		name := fmt.Sprintf("%s-%d", prefix, i)
		for _, g := range groupOf(t, r, name) {
			if g == m {
				return name
			}
		}
	}
	require.FailNow(t, "no such name")
	return ""
}

// A full node refuses what it has no room for, by name and number; the others
// take it, and one more in its place; it keeps its vote, and has its copy once
// there is room.
func TestOneNodeIsFull(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		full := r.Members[2]
		small := nameAt(t, r, full, "small")
		r.Store(r.Members[0], small, []byte("small"), node.StoreOptions{})
		full.Disk.SetCapacity(10_000)
		content := noise(1, 100_000)
		name := nameAt(t, r, full, "large")
		for _, by := range []*ringtest.Member{full, r.Others(full)[0]} {
			got := r.Store(by, name, content, node.StoreOptions{IfExists: node.Replace, Size: int64(len(content))})
			content = append(content, 1) // the next is another version
			require.Len(t, got.Lacking, 1)
			assert.Equal(t, full.Host, got.Lacking[0].Label)
			assert.ErrorIs(t, got.Lacking[0].Err, filestore.ErrNoSpace)
			assert.Regexp(t, `[0-9]+ bytes needed, 99[0-9]+ free`, got.Lacking[0].Err.Error())
			assert.Equal(t, 3, got.Copies, "another keeps one in its place")
			for _, h := range got.Nodes {
				assert.NotEqual(t, full.Host, h.Label)
			}
			f, err := by.Stat(t.Context(), name)
			require.NoError(t, err)
			assert.Equal(t, 3, f.Copies)
			assert.Contains(t, machines(f.Holders, func(h node.Holder) bool { return h.Voter }), full.Membership.Machine(), "it votes")
		}
		r.Store(full, small, []byte("new"), node.StoreOptions{IfExists: node.Replace}) // small things fit
		r.Delete(full, small)

		// Repair does not hammer at it.
		time.Sleep(time.Minute)
		var commits atomic.Int32
		full.Disk.SetFault(func(op filestore.Op, _ string) error {
			if op == filestore.OpCommit {
				commits.Add(1)
			}
			return nil
		})
		time.Sleep(30 * time.Minute)
		t.Log("ballots that the full node took part in:", commits.Load())
		assert.Positive(t, commits.Load(), "it is asked again")
		assert.LessOrEqual(t, commits.Load(), int32(40))
		full.Disk.SetFault(nil)
		full.Disk.SetCapacity(math.MaxInt64)
		r.Whole(20 * time.Minute)
		time.Sleep(15 * time.Minute)
		f, err := full.Stat(t.Context(), name)
		require.NoError(t, err)
		assert.Len(t, f.Holders, 3, "nobody stands in any more")
	})
}

func machines(l []node.Holder, which func(node.Holder) bool) (ids []node.MachineID) {
	for _, h := range l {
		if which(h) {
			ids = append(ids, h.Machine)
		}
	}
	return ids
}

// What fits nowhere is refused with every node's name, needed and free bytes;
// deletes go on, and make room.
func TestAllAreFull(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		r.Store(r.Members[0], "old", noise(1, 60_000), node.StoreOptions{})
		for _, m := range r.Members {
			m.Disk.SetCapacity(100_000)
		}
		for _, by := range r.Members {
			_, err := by.Store(t.Context(), "new", bytes.NewReader(noise(2, 50_000)), node.StoreOptions{Size: 50_000})
			require.ErrorIs(t, err, filestore.ErrNoSpace)
			for _, m := range r.Members {
				assert.Regexp(t, m.Host+`: [^;]*50000 bytes needed, 400\d\d free`, err.Error())
			}
		}
		r.Acknowledged("new", nil)
		r.Delete(r.Members[0], "old")
		r.Store(r.Members[1], "new", noise(2, 50_000), node.StoreOptions{})
	})
}

// A node whose disk takes no writes any more says so, everywhere; what it has
// is served, what it should have goes elsewhere, and a start makes it whole.
func TestFailedDisk(t *testing.T) {
	for cause, fails := range map[error]func(filestore.Op) bool{
		syscall.EROFS: func(op filestore.Op) bool { return op != filestore.OpRead },
		syscall.EIO:   func(filestore.Op) bool { return true },
	} {
		t.Run(cause.Error(), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
				names := r.StoreMany(10)
				time.Sleep(time.Minute)
				m := r.Members[3]
				m.Disk.SetFault(func(op filestore.Op, _ string) error {
					if fails(op) {
						return cause
					}
					return nil
				})
				// Whoever stores notices nothing, or is told to try again.
				for i := range 10 {
					r.StoreAgain(r.Members[i%5], fmt.Sprintf("after/%d", i), []byte("after"), node.StoreOptions{})
				}
				require.NotEmpty(t, m.Status(t.Context()).Degraded)
				for _, name := range names {
					for _, by := range []*ringtest.Member{m, r.Members[0]} {
						_, f, err := ringtest.Fetch(t.Context(), by, name, node.FetchOptions{})
						require.NoError(t, err)
						require.True(t, f.Confirmed)
					}
				}
				for _, by := range r.Members {
					for _, x := range by.Members(t.Context()) {
						want := node.Alive
						if x.Machine == m.Membership.Machine() {
							want = node.Degraded
						}
						assert.Equal(t, want, x.State, "%s at %s", x.Label, by.Host)
					}
				}
				// Three good copies of everything, without it.
				r.Eventually(3*time.Minute, "all copies are elsewhere", func() bool {
					time.Sleep(5 * time.Second)
					return r.Lacks() == "" && !slices.ContainsFunc(names, func(name string) bool {
						return slices.Contains(r.Holders(r.Members[0], name), m)
					})
				})
				m.Disk.SetFault(nil)
				r.Crash(m)
				r.Start(m)
				r.Ready(m)
				time.Sleep(2 * time.Minute)
				r.Whole(2 * time.Minute)
				assert.Empty(t, m.Status(t.Context()).Degraded)
				for _, x := range r.Members[0].Members(t.Context()) {
					assert.Equal(t, node.Alive, x.State, x.Label)
				}
			})
		})
	}
}

// A disk that takes five seconds for everything must not make others miss
// their deadlines: stores and fetches go on through other replicas.
func TestSlowDisk(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		slow := r.Members[1]
		content := noise(1, 10*filestore.ChunkSize)
		old := nameAt(t, r, slow, "old")
		r.Store(r.Members[0], old, content, node.StoreOptions{})
		name := nameAt(t, r, slow, "new")
		slow.Disk.SetLatency(5 * time.Second)
		for _, by := range bubble.Some(r.Others(slow), 2) {
			took := timed(t, func(ctx context.Context) error {
				got, _, err := ringtest.Fetch(ctx, by, old, node.FetchOptions{})
				assert.True(t, bytes.Equal(content, got))
				return err
			})
			assert.Less(t, took, 15*time.Second, "fetch at %s", by.Host)
			took = timed(t, func(ctx context.Context) error {
				got, err := by.FetchFirstFrom(ctx, old, slow.Membership.Machine())
				assert.True(t, bytes.Equal(content, got))
				return err
			})
			assert.Less(t, took, 10*time.Second, "fetch at %s, the slow one first", by.Host)
			took = timed(t, func(ctx context.Context) error {
				_, err := by.Store(ctx, name, bytes.NewReader(content), node.StoreOptions{IfExists: node.Replace})
				return err
			})
			assert.Less(t, took, 15*time.Second, "store at %s", by.Host)
		}
		r.Acknowledged(name, content)
		slow.Disk.SetLatency(0)
		r.Whole(5 * time.Minute)
	})
}

// Who asks for more copies than it takes waits for one that is made slowly, and for none
// whose machine is gone.
func TestCopiesThatWereAskedFor(t *testing.T) {
	for _, opts := range []ringtest.Options{{Nodes: 3, N: 3, W: 3}, {Nodes: 3}} {
		ringtest.Test(t, opts, func(t *testing.T, r *ringtest.Ring) {
			content := noise(1, 10*filestore.ChunkSize)
			by, slow := r.Members[0], r.Members[2]
			for _, m := range r.Others(slow) {
				r.Net.SetBandwidth(m.Host, slow.Host, filestore.ChunkSize/4)
			}
			got, err := storeThrice(t.Context(), by, "file", content)
			require.NoError(t, err)
			assert.Equal(t, 3, got.Copies)
			r.Acknowledged("file", content)
			r.Crash(slow)
			took := timed(t, func(ctx context.Context) error {
				got, err = storeThrice(ctx, by, "other", content)
				require.ErrorIs(t, err, node.ErrTooFew)
				assert.Equal(t, 2, got.Copies)
				return nil
			})
			assert.Less(t, took, time.Minute)
			r.Acknowledged("other", content)
		})
	}
}

func storeThrice(ctx context.Context, by *ringtest.Member, name string, content []byte) (node.StoreResult, error) {
	return by.Store(ctx, name, bytes.NewReader(content), node.StoreOptions{Size: int64(len(content)), Quorum: 3})
}

// A copy that was asked for and does not come takes nothing from those that have: the
// file is stored, and it is said how often.
func TestACopyThatWasAskedForDoesNotCome(t *testing.T) {
	const kib = 1 << 10
	for name, c := range map[string]struct {
		size  int
		worse func(r *ringtest.Ring, second, third *ringtest.Member) (end func())
		limit time.Duration
	}{
		"a link too slow": {3 << 20, func(r *ringtest.Ring, second, third *ringtest.Member) func() {
			r.Net.SetBandwidth(r.Members[0].Host, second.Host, 200*kib)
			r.Net.SetBandwidth(r.Members[0].Host, third.Host, 30*kib)
			r.Net.SetBandwidth(second.Host, third.Host, 30*kib)
			return func() { // so that no copy is under way when the ring is looked at
				r.Net.SetBandwidth(r.Members[0].Host, third.Host, 0)
				r.Net.SetBandwidth(second.Host, third.Host, 0)
				r.Whole(5 * time.Minute)
			}
		}, 2 * time.Minute},
		"a disk that hangs": {200 * kib, func(_ *ringtest.Ring, _, third *ringtest.Member) func() {
			return third.Disk.Hang()
		}, 2 * time.Minute},
		"a machine that is silent": {3 << 20, func(r *ringtest.Ring, _, third *ringtest.Member) func() {
			r.Blackout(third)
			time.Sleep(20 * time.Second)
			return func() {}
		}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 3, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				content := noise(1, c.size)
				by := r.Members[0]
				defer c.worse(r, r.Members[1], r.Members[2])()
				took := timed(t, func(ctx context.Context) error {
					got, err := storeThrice(ctx, by, "file", content)
					if err == nil { // late, and yet in time
						return nil
					}
					require.ErrorIs(t, err, node.ErrTooFew)
					assert.Equal(t, 2, got.Copies)
					return nil
				})
				assert.Less(t, took, c.limit)
				there, f, err := ringtest.Fetch(t.Context(), by, "file", node.FetchOptions{})
				require.NoError(t, err)
				assert.True(t, f.Confirmed)
				assert.True(t, bytes.Equal(content, there))
				r.Acknowledged("file", content)
			})
		})
	}
}

// timed runs f, which must not fail, and returns how long it took.
func timed(t *testing.T, f func(context.Context) error) time.Duration {
	t.Helper()
	start := time.Now()
	require.NoError(t, f(t.Context()))
	return time.Since(start)
}

// A node whose disk has failed may be the last one that has a file. It is
// passed over for new copies, and still asked for what it has. When it is in
// doubt about the very name, nobody says that there is none.
func TestTheLastHolderIsDegraded(t *testing.T) {
	for _, failing := range []filestore.Op{filestore.OpCreate, filestore.OpCommit} {
		t.Run(string(failing), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 6}, func(t *testing.T, r *ringtest.Ring) {
				content := []byte("the last copy")
				r.Store(r.Members[0], "file", content, node.StoreOptions{})
				group := groupOf(t, r, "file")
				last := group[0]
				last.Disk.SetFault(func(op filestore.Op, _ string) error {
					if op == failing {
						return syscall.EROFS
					}
					return nil
				})
				again := "file"
				if failing == filestore.OpCreate {
					again = nameAt(t, r, last, "other")
				}
				r.StoreAgain(group[1], again, content, node.StoreOptions{IfExists: node.Replace})
				r.Eventually(10*time.Second, "it is degraded", func() bool { return last.Status(t.Context()).Degraded != "" })
				r.Lose(group[1:]...)
				r.Forget("file")
				r.Forget(again)
				for _, wait := range []time.Duration{0, 5 * time.Second, 20 * time.Second} {
					time.Sleep(wait)
					for _, by := range r.Up() {
						got, f, err := ringtest.Fetch(t.Context(), by, "file", node.FetchOptions{})
						if failing == filestore.OpCommit && err != nil {
							assert.NotErrorIs(t, err, node.ErrNotFound, by.Host)
							continue
						}
						require.NoError(t, err, by.Host)
						assert.Equal(t, content, got)
						assert.False(t, f.Confirmed)
					}
				}
			})
		})
	}
}
