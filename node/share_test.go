package node_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// What one member saves several times at once comes at sharedRate, in sharedTime.
const (
	sharedChunks = 12
	sharedRate   = 4 * filestore.ChunkSize // bytes a second
	sharedTime   = sharedChunks * time.Second / 4
	sharedSlack  = 3 * filestore.ChunkSize // that may be on its way when a fetch ends early
)

// crowd is one member at which one content is saved several times.
type crowd struct {
	*testing.T
	ring    *ringtest.Ring
	by      *ringtest.Member // it has no copy
	content []byte
	saves   sync.WaitGroup
}

// crowded stores a content under names and has f save it, then waits for all saves and
// looks that nothing is left of them. sent is what the holders may send for it.
func crowded(t *testing.T, names []string, sent int64, f func(*crowd)) {
	ringtest.Test(t, ringtest.Options{Nodes: 7, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		c := &crowd{T: t, ring: r, content: noise(1, sharedChunks*filestore.ChunkSize-100)}
		var holders []*ringtest.Member
		for _, name := range names {
			r.Store(r.Members[0], name, c.content, node.StoreOptions{})
			holders = append(holders, groupOf(t, r, name)...)
		}
		r.Whole(time.Minute)
		c.by = r.Others(holders...)[0]
		before := c.sent()
		for _, m := range r.Others(c.by) {
			r.Net.SetBandwidth(c.by.Host, m.Host, sharedRate)
		}
		f(c)
		c.saves.Wait()
		assert.LessOrEqual(t, c.sent()-before, sent+filestore.ChunkSize)
		assert.Zero(t, c.by.Leaders(), "nothing is left to follow")
		r.Net.HealAll()
	})
}

// sent is how much other members have sent to the one that saves.
func (c *crowd) sent() (sum int64) {
	for _, m := range c.ring.Others(c.by) {
		sum += c.ring.Net.Sent(m.Host, c.by.Host)
	}
	return sum
}

// saveFile is a file to save in.
type saveFile struct {
	*os.File
	have    []byte                // of an earlier attempt
	onWrite func(chunk int) error // nil: nothing happens
	onRead  func() error          // the same
	eager   bool                  // a holder is asked before the save begins
	chunks  int
	mended  int // writes of chunks that were wrong
	kept    int64
	from    []string
	took    time.Duration
	ended   atomic.Bool // the save
	closed  atomic.Bool
	reads   atomic.Int32 // under way
}

// file makes the file of f.
func (c *crowd) file(f *saveFile) *saveFile {
	file, err := os.Create(filepath.Join(c.TempDir(), "target"))
	require.NoError(c, err)
	_, err = file.Write(f.have)
	require.NoError(c, err)
	f.File = file
	return f
}

func (f *saveFile) Write(p []byte) (int, error) {
	if f.onWrite != nil {
		if err := f.onWrite(f.chunks); err != nil {
			return 0, err
		}
	}
	f.chunks++
	return f.File.Write(p)
}

func (f *saveFile) ReadAt(p []byte, at int64) (int, error) {
	if f.onRead != nil {
		if err := f.onRead(); err != nil {
			return 0, err
		}
	}
	f.reads.Add(1)
	defer f.reads.Add(-1)
	return f.File.ReadAt(p, at)
}

func (f *saveFile) WriteAt(p []byte, at int64) (int, error) {
	f.mended++
	return f.File.WriteAt(p, at)
}

func (f *saveFile) Close() error {
	if f.reads.Load() > 0 {
		return errBusy
	}
	f.closed.Store(true)
	return f.File.Close()
}

var errBusy = errors.New("closed while it is read")

// save saves name in a file.
func (c *crowd) save(ctx context.Context, name string, f *saveFile) error {
	defer f.ended.Store(true)
	start := time.Now()
	x, err := c.by.Fetch(ctx, name, node.FetchOptions{Offset: int64(len(f.have)), Lazy: !f.eager})
	if err != nil {
		return err
	}
	f.kept, err = x.Save(f)
	assert.True(c, f.closed.Load(), "its owner has the file for itself")
	f.from, f.took = x.From(), time.Since(start)
	require.NoError(c, x.Close())
	return err
}

// saveAt begins to save after a time, which ends well.
func (c *crowd) saveAt(at time.Duration, name string, f *saveFile) *saveFile {
	c.file(f)
	c.saves.Go(func() {
		time.Sleep(at)
		if !assert.NoError(c, c.save(c.Context(), name, f)) {
			return
		}
		got, err := os.ReadFile(f.Name())
		assert.NoError(c, err)
		assert.True(c, bytes.Equal(c.content, got))
		assert.Len(c, f.from, 1)
	})
	return f
}

const sharedSize = sharedChunks * filestore.ChunkSize

var oneName = []string{"file"}

// A content comes once, for those who begin with the first, in the middle and just
// before its end, and by another name.
func TestSavesOfOneContentShareItsTransfer(t *testing.T) {
	crowded(t, []string{"file", "same"}, sharedSize, func(c *crowd) {
		var all []*saveFile
		for _, at := range []time.Duration{0, 0, sharedTime / 2, sharedTime - 1} {
			all = append(all, c.saveAt(at, "file", &saveFile{}), c.saveAt(at, "same", &saveFile{}))
		}
		c.saves.Wait()
		for _, f := range all {
			assert.Less(c, f.took, sharedTime*11/10)
		}
	})
}

// A follower that is slower than its leader gets the rest from a holder: the leader's
// file is closed by then, so that it can be run or its disk taken away.
func TestALeadersFileIsClosedAtItsEnd(t *testing.T) {
	crowded(t, oneName, sharedSize*3/2+sharedSlack, func(c *crowd) {
		lead := c.saveAt(0, "file", &saveFile{})
		after := 0
		c.saveAt(time.Millisecond, "file", &saveFile{onWrite: func(int) error {
			time.Sleep(sharedTime / 6) // twice the time of all
			if lead.ended.Load() {
				after++
			}
			return nil
		}})
		c.saves.Wait()
		assert.Greater(c, after, sharedChunks/4, "the leader does not wait for it")
	})
}

// Those who wait for the last chunk get it, however many they are: not one after the
// other from a holder.
func TestAllWhoWaitGetTheLastChunk(t *testing.T) {
	crowded(t, oneName, sharedSize, func(c *crowd) {
		for range 20 {
			c.saveAt(0, "file", &saveFile{})
		}
	})
}

// When the leader is cancelled, or cannot write its file, another one goes on.
func TestFollowersOutliveTheirLeader(t *testing.T) {
	crowded(t, oneName, sharedSize+sharedSlack, func(c *crowd) {
		ctx, cancel := context.WithTimeout(c.Context(), sharedTime/2)
		defer cancel()
		for range 3 {
			c.saveAt(time.Millisecond, "file", &saveFile{})
		}
		require.ErrorIs(c, c.save(ctx, "file", c.file(&saveFile{})), context.DeadlineExceeded)
		c.saveAt(0, "file", &saveFile{})
		c.saves.Wait()
	})
	crowded(t, oneName, sharedSize+2*sharedSlack, func(c *crowd) {
		full := func(at int) *saveFile {
			return &saveFile{onWrite: func(chunk int) error {
				if chunk == at {
					return syscall.ENOSPC
				}
				return nil
			}}
		}
		c.saveAt(2*time.Millisecond, "file", &saveFile{})
		c.saves.Go(func() { // the next leader, as it is the first of those who wait
			time.Sleep(time.Millisecond)
			assert.ErrorIs(c, c.save(c.Context(), "file", c.file(full(8))), syscall.ENOSPC)
		})
		err := c.save(c.Context(), "file", c.file(full(4)))
		var target *node.TargetError
		require.ErrorAs(c, err, &target)
		require.ErrorIs(c, err, syscall.ENOSPC)
	})
}

// When there is no holder any more, everybody finds that out at the same time.
func TestFollowersDoNotFailOneAfterTheOther(t *testing.T) {
	crowded(t, oneName, sharedSize, func(c *crowd) {
		time.AfterFunc(sharedTime/2, func() {
			for _, m := range c.ring.Others(c.by) {
				c.ring.Net.CutBoth(m.Host, c.by.Host)
			}
		})
		all := []*saveFile{c.file(&saveFile{}), c.file(&saveFile{}), c.file(&saveFile{}), c.file(&saveFile{})}
		for _, f := range all {
			c.saves.Go(func() { assert.ErrorIs(c, c.save(c.Context(), "file", f), node.ErrUnavailable) })
		}
		c.saves.Wait()
		least, most := all[0].took, all[0].took
		for _, f := range all {
			least, most = min(least, f.took), max(most, f.took)
		}
		assert.Less(c, most, 5*least/2, "twice, at most")
	})
}

// Somebody else who changes the leader's file does no harm to those who read it.
func TestALeadersFileIsNotTrusted(t *testing.T) {
	for what, change := range map[string]func(*os.File) error{
		"overwritten": func(f *os.File) error { _, err := f.WriteAt([]byte("other"), filestore.ChunkSize+7); return err },
		"cut":         func(f *os.File) error { return f.Truncate(3 * filestore.ChunkSize) },
	} {
		t.Run(what, func(t *testing.T) {
			crowded(t, oneName, 2*sharedSize, func(c *crowd) {
				lead := c.file(&saveFile{})
				c.saves.Go(func() { assert.NoError(c, c.save(c.Context(), "file", lead)) })
				c.saves.Go(func() {
					time.Sleep(sharedTime / 2)
					assert.NoError(c, change(lead.File))
					c.saveAt(0, "file", &saveFile{})
				})
			})
		})
	}
}

// A leader whose disk is slow, or does not answer, does not keep others waiting.
func TestASlowDiskOfTheLeaderHoldsNobodyUp(t *testing.T) {
	for _, slow := range []time.Duration{time.Second, time.Hour} {
		crowded(t, oneName, 2*sharedSize+sharedSlack, func(c *crowd) {
			ctx, cancel := context.WithCancel(c.Context())
			c.saves.Go(func() {
				assert.Error(c, c.save(ctx, "file", c.file(&saveFile{onWrite: func(int) error {
					select {
					case <-time.After(slow):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}})))
			})
			f := c.saveAt(time.Millisecond, "file", &saveFile{})
			time.Sleep(2*sharedTime + 5*time.Second)
			assert.True(c, f.ended.Load(), "the follower has ended")
			cancel()
		})
	}
}

// The same while a leader reads what an earlier attempt has left.
func TestALeaderThatReadsWhatItHasHoldsNobodyUp(t *testing.T) {
	crowded(t, oneName, 2*sharedSize, func(c *crowd) {
		ctx, cancel := context.WithCancel(c.Context())
		hangs := func() error { <-ctx.Done(); return ctx.Err() }
		lead := c.file(&saveFile{have: c.content[:4*filestore.ChunkSize], onRead: hangs})
		c.saves.Go(func() { assert.ErrorIs(c, c.save(ctx, "file", lead), context.Canceled) })
		f := c.saveAt(time.Millisecond, "file", &saveFile{})
		time.Sleep(2*sharedTime + 5*time.Second)
		assert.True(c, f.ended.Load(), "the follower has ended")
		cancel()
	})
}

// A follower does not wait for a disk that does not let it read, nor does the leader for
// such a follower, and who cancels it waits for nothing.
func TestALeadersFileThatCannotBeReadHoldsNobodyUp(t *testing.T) {
	crowded(t, oneName, 3*sharedSize+sharedSlack, func(c *crowd) {
		answer := make(chan struct{})
		lead := c.saveAt(0, "file", &saveFile{onRead: func() error { <-answer; return nil }})
		f := c.saveAt(time.Millisecond, "file", &saveFile{})
		ctx, cancel := context.WithTimeout(c.Context(), time.Second)
		defer cancel()
		cancelled := c.file(&saveFile{})
		c.saves.Go(func() { assert.ErrorIs(c, c.save(ctx, "file", cancelled), context.DeadlineExceeded) })
		time.Sleep(1500 * time.Millisecond)
		assert.True(c, cancelled.ended.Load(), "at once")
		time.Sleep(2*sharedTime + 5*time.Second)
		assert.True(c, lead.ended.Load(), "the leader has ended")
		assert.True(c, f.ended.Load(), "and the follower")
		close(answer)
	})
}

// What an earlier attempt has left is kept, whoever is followed.
func TestFollowersKeepWhatTheyHave(t *testing.T) {
	crowded(t, oneName, sharedSize, func(c *crowd) { // less than the leader
		c.saveAt(0, "file", &saveFile{})
		have := bytes.Clone(c.content[:4*filestore.ChunkSize])
		f := c.saveAt(sharedTime/2, "file", &saveFile{have: bytes.Clone(have)})
		have[2*filestore.ChunkSize]++
		g := c.saveAt(sharedTime/2, "file", &saveFile{have: have})
		c.saves.Wait()
		assert.EqualValues(c, 4*filestore.ChunkSize, f.kept)
		assert.EqualValues(c, 2*filestore.ChunkSize, g.kept)
	})
	crowded(t, oneName, sharedSize+4*filestore.ChunkSize, func(c *crowd) { // more
		c.saveAt(0, "file", &saveFile{})
		f := c.saveAt(sharedTime/4, "file", &saveFile{have: c.content[:9*filestore.ChunkSize]})
		c.saves.Wait()
		assert.EqualValues(c, 9*filestore.ChunkSize, f.kept)
		assert.Less(c, f.took, sharedTime*6/10, "it does not wait for the leader")
	})
}

// Who has begun to read from a holder goes on with it, whoever else saves the same.
func TestWhoReadsFromAHolderDoesNotFollow(t *testing.T) {
	crowded(t, oneName, sharedSize*3/2+sharedSlack, func(c *crowd) {
		ctx, cancel := context.WithTimeout(c.Context(), sharedTime/2)
		defer cancel()
		f := c.saveAt(time.Millisecond, "file", &saveFile{eager: true})
		require.ErrorIs(c, c.save(ctx, "file", c.file(&saveFile{})), context.DeadlineExceeded)
		c.saves.Wait()
		assert.Zero(c, f.mended, "chunks in the wrong place")
	})
}

// Another version is another content.
func TestAnotherVersionIsNotFollowed(t *testing.T) {
	crowded(t, oneName, 2*sharedSize, func(c *crowd) {
		lead := c.file(&saveFile{})
		c.saves.Go(func() { assert.NoError(c, c.save(c.Context(), "file", lead)) })
		time.Sleep(sharedTime / 2)
		old := c.content
		c.content = noise(2, len(old))
		c.ring.Store(c.ring.Others(c.by)[0], "file", c.content, node.StoreOptions{IfExists: node.Replace})
		c.saveAt(0, "file", &saveFile{})
		c.saves.Wait()
		got, err := os.ReadFile(lead.Name())
		require.NoError(c, err)
		assert.True(c, bytes.Equal(old, got))
	})
}
