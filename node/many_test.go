package node_test

import (
	"bytes"
	"errors"
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

// puts are so many small files, each with an operation of its own.
func puts(prefix string, count int) []node.Put {
	l := make([]node.Put, count)
	for i := range l {
		content := noise(uint64(i), 1+i*97)
		if i == 0 {
			content = []byte{}
		}
		l[i] = node.Put{Name: fmt.Sprint(prefix, i), Content: content, Options: node.StoreOptions{Op: node.NewOp()}}
	}
	return l
}

// storeAll stores files at once and wants all of them to have so many copies at least.
func storeAll(t *testing.T, r *ringtest.Ring, by *ringtest.Member, files []node.Put, copies int) {
	t.Helper()
	for i, got := range by.StoreMany(t.Context(), files) {
		require.NoError(t, got.Err, files[i].Name)
		require.Equal(t, node.Stored, got.Action)
		require.GreaterOrEqual(t, got.Copies, copies, files[i].Name)
		r.Acknowledged(files[i].Name, files[i].Content)
	}
}

// fetchAll wants files to be fetched at once, confirmed.
func fetchAll(t *testing.T, by *ringtest.Member, files []node.Put) {
	t.Helper()
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	for i, got := range ringtest.FetchMany(t.Context(), by, names, node.FetchOptions{}) {
		require.NoError(t, got.Err, names[i])
		require.True(t, got.File.Confirmed)
		require.Equal(t, names[i], got.File.Record.Name)
		require.True(t, bytes.Equal(files[i].Content, got.Content), names[i])
	}
}

// fastVoters counts the members that have accepted a name in one round, without a message.
func fastVoters(t *testing.T, r *ringtest.Ring, name string) int {
	t.Helper()
	count := 0
	for _, m := range r.Members {
		if isFast(t, m, name) {
			count++
		}
	}
	return count
}

// Many files take as many round trips as few do.
func TestManyFilesShareRoundTrips(t *testing.T) {
	const round = 200 * time.Millisecond
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: round / 2}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		by := r.Members[0]
		storeAll(t, r, by, puts("warm", 20), 3) // there are connections now
		files := puts("file", 100)
		start := time.Now()
		storeAll(t, r, by, files, 3)
		assert.Less(t, time.Since(start), 12*round, "stored")
		for _, f := range files { // at once: maintenance may take a file through another round later
			assert.Equal(t, 3, fastVoters(t, r, f.Name), f.Name)
		}
		start = time.Now()
		fetchAll(t, by, files)
		assert.Less(t, time.Since(start), 8*round, "fetched")
	})
}

// Each of many files is dealt with as if it were alone.
func TestEachOfManyFiles(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		for _, by := range r.Members[:2] {
			prefix := by.Host + "/"
			r.Store(by, prefix+"there", []byte("old"), node.StoreOptions{})
			r.Store(by, prefix+"replaced", []byte("old"), node.StoreOptions{})
			r.Store(by, prefix+"same", []byte("same"), node.StoreOptions{})
			r.Store(by, prefix+"deleted", []byte("old"), node.StoreOptions{})
			r.Delete(by, prefix+"deleted")
			files := puts(prefix, 10)
			add := func(name string, content []byte, change func(o *node.StoreOptions)) int {
				o := node.StoreOptions{Op: node.NewOp(), Base: 1}
				if change != nil {
					change(&o)
				}
				files = append(files, node.Put{Name: prefix + name, Content: content, Options: o})
				return len(files) - 1
			}
			there := add("there", []byte("new"), nil)
			replaced := add("replaced", []byte("new"), func(o *node.StoreOptions) { o.IfExists = node.Replace })
			same := add("same", []byte("same"), nil)
			again := add("deleted", []byte("new"), func(o *node.StoreOptions) { o.Base = 2 })
			large := add("large", noise(1, 200_000), func(o *node.StoreOptions) { o.Base = 0 })
			plain := add("without an operation", []byte("plain"), func(o *node.StoreOptions) { *o = node.StoreOptions{} })
			bad := add("../up", []byte("x"), nil)
			option := add("option", []byte("x"), func(o *node.StoreOptions) { o.Compress = "quickly" })
			results := by.StoreMany(t.Context(), files)
			for i, f := range files {
				got := results[i]
				switch i {
				case there:
					require.ErrorIs(t, got.Err, node.ErrExists)
					continue
				case bad:
					require.ErrorIs(t, got.Err, filestore.ErrBadName)
					continue
				case option:
					require.ErrorIs(t, got.Err, node.ErrBadOption)
					continue
				}
				require.NoError(t, got.Err, f.Name)
				want := node.Stored
				switch i {
				case replaced:
					want = node.Replaced
				case same:
					want = node.Identical
				}
				require.Equal(t, want, got.Action, f.Name)
				r.Acknowledged(f.Name, f.Content)
			}
			stored := append([]node.Put{}, files[:there]...)
			stored = append(stored, files[replaced], files[same], files[again], files[large], files[plain])
			r.Delete(by, files[1].Name)
			stored = append(stored[:1], stored[2:]...)
			names := []string{files[1].Name, prefix + "never stored", "../up"}
			for _, f := range stored {
				names = append(names, f.Name)
			}
			for _, m := range r.Members {
				fetchAll(t, m, stored)
				got := ringtest.FetchMany(t.Context(), m, names, node.FetchOptions{})
				require.ErrorIs(t, got[0].Err, node.ErrNotFound)
				require.ErrorIs(t, got[1].Err, node.ErrNotFound)
				require.ErrorIs(t, got[2].Err, filestore.ErrBadName)
				for i, f := range stored {
					require.NoError(t, got[3+i].Err)
					require.True(t, bytes.Equal(f.Content, got[3+i].Content))
				}
				part := ringtest.FetchMany(t.Context(), m, names[3:], node.FetchOptions{Offset: 1, Length: 1})
				for i, f := range stored {
					if len(f.Content) == 0 {
						require.ErrorIs(t, part[i].Err, node.ErrBadRange)
					} else {
						require.Equal(t, f.Content[1:min(2, len(f.Content))], append([]byte{}, part[i].Content...))
					}
				}
			}
		}
	})
}

// A list of stores that is sent again is carried out once.
func TestManyStoresAgain(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		files := puts("file", 30)
		storeAll(t, r, r.Members[0], files, 3)
		storeAll(t, r, r.Members[0], files, 3)
		double := append(puts("other", 5), files[7], files[7])
		storeAll(t, r, r.Members[0], double, 3)
		for _, f := range files {
			require.EqualValues(t, 1, changes(t, r.Members[1], f.Name))
		}
	})
}

// One machine in trouble holds up many files no longer than it would hold up one.
func TestManyFilesWithoutOneOfTheVoters(t *testing.T) {
	for what, trouble := range map[string]func(r *ringtest.Ring, m *ringtest.Member) (end func()){
		"crashed": func(r *ringtest.Ring, m *ringtest.Member) func() { r.Crash(m); return func() { r.Start(m) } },
		"dark":    func(r *ringtest.Ring, m *ringtest.Member) func() { r.Blackout(m); return func() { r.Start(m) } },
		"full": func(_ *ringtest.Ring, m *ringtest.Member) func() {
			m.Disk.SetCapacity(1)
			return func() { m.Disk.SetCapacity(1 << 40) }
		},
		"slow": func(_ *ringtest.Ring, m *ringtest.Member) func() {
			m.Disk.SetLatency(3 * time.Second)
			return func() { m.Disk.SetLatency(0) }
		},
		"failing": func(r *ringtest.Ring, m *ringtest.Member) func() {
			m.Disk.SetFault(func(op filestore.Op, _ string) error {
				if op == filestore.OpCommit || op == filestore.OpRead {
					return errors.New("the disk is broken")
				}
				return nil
			})
			return func() {
				r.Stop(m)
				m.Disk.SetFault(nil)
				r.Start(m)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				r.Settled()
				old := puts("old", bubble.Fewer(40))
				storeAll(t, r, r.Members[0], old, 3)
				time.Sleep(2 * time.Minute) // contents are in their files alone
				m := r.Members[3]
				end := trouble(r, m)
				for i, by := range r.Others(m)[:2] {
					start := time.Now()
					fetchAll(t, by, old)
					assert.Less(t, time.Since(start), 20*time.Second, "fetched")
					start = time.Now()
					files := puts(fmt.Sprint("new", i, "/"), bubble.Fewer(40))
					storeAll(t, r, by, files, 2)
					assert.Less(t, time.Since(start), 25*time.Second, "stored")
					fetchAll(t, by, files)
				}
				end()
				r.Ready(m)
				r.Whole(20 * time.Minute)
			})
		})
	}
}

// A content that is damaged where it is read first comes from elsewhere, and is healed.
func TestDamageAmongManyFiles(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		files := puts("file", bubble.Fewer(30))
		storeAll(t, r, r.Members[0], files, 3)
		time.Sleep(2 * time.Minute)
		for i, f := range files[1:] {
			holders := r.Holders(r.Members[0], f.Name)
			for k := range 2 {
				require.NoError(t, holders[(i+k)%3].Rot(f.Name, int64(len(f.Content)-1)))
			}
		}
		for _, m := range r.Members {
			fetchAll(t, m, files)
		}
		r.Whole(time.Minute)
	})
}

// A node ends though somebody does not take what they have fetched.
func TestANodeEndsWhileManyFilesAreFetched(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		by := r.Members[0]
		files := puts("file", 100)
		storeAll(t, r, by, files, 3)
		names := make([]string, len(files))
		for i, f := range files {
			names[i] = f.Name
		}
		stalled, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			by.FetchMany(t.Context(), names, node.FetchOptions{}, 64<<10, func(_ int, f *node.Fetched, err error) {
				<-stalled
				if err == nil {
					_ = f.Close()
				}
			})
		}()
		time.Sleep(time.Second)
		start := time.Now()
		r.Stop(by)
		assert.Less(t, time.Since(start), time.Minute)
		close(stalled)
		<-done
		r.Start(by)
		r.Ready(by)
	})
}
