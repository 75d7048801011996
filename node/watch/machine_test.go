package watch

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/dhtfs/dhtfs/filestore"
)

// newOps draws operation IDs that can be told apart.
func newOps() func() filestore.OpID {
	n := uint64(0)
	return func() (op filestore.OpID) {
		n++
		binary.BigEndian.PutUint64(op[:], n)
		return op
	}
}

const (
	stillFor = 2 * time.Second
	goneFor  = 4 * time.Second
)

// bench is a machine with a clock.
type bench struct {
	*machine
	now time.Time
}

func newBench(removes bool) *bench {
	return &bench{newMachine(usualPace(), removes, newOps()), time.Unix(1e9, 0)}
}

func (b *bench) pass(d time.Duration) { b.now = b.now.Add(d) }

// begin expects a job.
func (b *bench) begin(t *testing.T) job {
	t.Helper()
	j, ok := b.next(b.now)
	require.True(t, ok)
	return j
}

func (b *bench) idle(t *testing.T) {
	t.Helper()
	j, ok := b.next(b.now)
	assert.False(t, ok, "%+v", j)
}

// complete sees a file until it is still.
func (b *bench) complete(path string, p Print) {
	b.see(path, p, b.now)
	b.pass(stillFor)
	b.see(path, p, b.now)
}

func ok(j job) outcome {
	return outcome{verdict: done, entry: Entry{Print: j.print, Sum: filestore.Hash{byte(j.print.Size)}, Version: j.op, Ours: true}}
}

func TestAFileIsPublishedWhenItIsStill(t *testing.T) {
	b := newBench(false)
	p := Print{Size: 1}
	b.see("a", p, b.now)
	b.pass(stillFor - 1)
	b.see("a", p, b.now)
	b.idle(t)
	p.Size = 2 // it grows on
	b.see("a", p, b.now)
	b.pass(stillFor - 1)
	b.see("a", p, b.now)
	b.idle(t)
	b.pass(1)
	b.see("a", p, b.now)
	j := b.begin(t)
	assert.Equal(t, p, j.print)
	assert.False(t, j.remove)
	b.idle(t)
	b.finish(j, ok(j), b.now)
	b.see("a", p, b.now)
	b.idle(t)
	assert.Equal(t, 1, b.counts[published])
}

func TestEachPartOfThePrintCounts(t *testing.T) {
	for _, p := range []Print{{Size: 1}, {Modified: 1}, {Inode: 1}, {Changed: 1}} {
		b := newBench(false)
		b.see("a", Print{}, b.now)
		b.pass(stillFor)
		b.see("a", p, b.now)
		b.idle(t)
	}
}

func TestAFileThatChangesUnderItsJobIsPublishedAgain(t *testing.T) {
	b := newBench(false)
	b.complete("a", Print{Size: 1})
	j := b.begin(t)
	b.see("a", Print{Size: 2}, b.now)
	b.finish(j, ok(j), b.now) // the old state was read in time
	b.idle(t)
	b.complete("a", Print{Size: 2})
	j = b.begin(t)
	assert.Equal(t, int64(2), j.print.Size)
	b.finish(j, outcome{verdict: changed}, b.now)
	b.idle(t)
	b.complete("a", Print{Size: 2})
	b.finish(b.begin(t), outcome{verdict: open}, b.now) // somebody writes
	b.idle(t)
	b.pass(stillFor)
	b.see("a", Print{Size: 2}, b.now)
	b.begin(t)
}

func TestOldestFirstAndRemovalsLast(t *testing.T) {
	b := newBench(true)
	for path, modified := range map[string]int64{"x": 3, "y": 1, "z": 2} {
		b.see(path, Print{Modified: modified}, b.now)
	}
	b.restore("gone", Entry{Version: filestore.OpID{9}, Ours: true})
	b.miss("gone", b.now)
	b.pass(goneFor - time.Second)
	b.see("late", Print{}, b.now)
	b.pass(stillFor)
	for _, path := range []string{"late", "z", "x", "y"} {
		b.see(path, b.tracks[path].seen, b.now)
	}
	b.miss("gone", b.now)
	var order []string
	var jobs []job
	for range 3 {
		j := b.begin(t)
		order, jobs = append(order, j.path), append(jobs, j)
	}
	assert.Equal(t, []string{"y", "z", "x"}, order)
	b.idle(t) // the removal waits for them: what was renamed is copied from its old name
	for _, j := range jobs {
		b.finish(j, ok(j), b.now)
	}
	j := b.begin(t)
	assert.Equal(t, "gone", j.path)
	assert.True(t, j.remove)
	assert.Equal(t, "late", b.begin(t).path)
}

// What was renamed gets its new name before the old one is removed, also when
// the new one was seen later, and is not still for long.
func TestARemovalWaitsForTheNewName(t *testing.T) {
	b := newBench(true)
	b.restore("old", Entry{Version: filestore.OpID{9}, Ours: true})
	b.miss("old", b.now)
	b.pass(goneFor - stillFor)
	b.see("new", Print{}, b.now)
	b.pass(stillFor)
	b.miss("old", b.now)
	b.idle(t)
	b.see("new", Print{}, b.now)
	assert.Equal(t, "new", b.begin(t).path)
	b.idle(t)
}

func TestWhatTheRingDoesNotTakeWaitsInOrder(t *testing.T) {
	b := newBench(false)
	for i := range 5 {
		b.see(fmt.Sprint(i), Print{Modified: int64(i)}, b.now)
	}
	b.pass(stillFor)
	for i := range 5 {
		b.see(fmt.Sprint(i), Print{Modified: int64(i)}, b.now)
	}
	silence := func() outcome { return outcome{verdict: unavailable, fault: &Fault{Kind: Ring}} }
	first, second := b.begin(t), b.begin(t)
	b.finish(second, silence(), b.now)
	b.finish(first, silence(), b.now)
	b.idle(t)
	require.NotNil(t, b.ring)
	pause := firstPause
	for range 6 {
		b.pass(pause - 1)
		b.idle(t)
		b.pass(1)
		j := b.begin(t)
		assert.Equal(t, "0", j.path, "the order stays")
		b.idle(t) // one finds out for all
		b.finish(j, silence(), b.now)
		pause = min(2*pause, longestPause)
	}
	b.pass(longestPause)
	j := b.begin(t)
	b.finish(j, ok(j), b.now)
	assert.Nil(t, b.ring)
	for i := 1; i < 5; i++ {
		assert.Equal(t, fmt.Sprint(i), b.begin(t).path)
	}
}

func TestWhatWasRefusedIsTriedAgain(t *testing.T) {
	b := newBench(false)
	b.complete("a", Print{Size: 1})
	pause := firstRetry
	for range 7 {
		b.finish(b.begin(t), outcome{verdict: failed, fault: &Fault{Kind: Conflict, Path: "a"}}, b.now)
		assert.Equal(t, 1, b.counts[refused])
		b.see("a", Print{Size: 1}, b.now)
		b.pass(pause - 1)
		b.retryRefused(b.now)
		assert.Equal(t, 1, b.counts[refused])
		b.pass(1)
		b.retryRefused(b.now)
		b.pass(stillFor)
		b.see("a", Print{Size: 1}, b.now)
		pause = min(2*pause, longestRetry)
	}
	b.finish(b.begin(t), outcome{verdict: failed, fault: &Fault{}}, b.now)
	b.complete("a", Print{Size: 2}) // at once when it changes
	b.begin(t)
}

func TestAFileThatIsGone(t *testing.T) {
	entry := Entry{Print: Print{Size: 1}, Version: filestore.OpID{1}, Ours: true}
	for name, c := range map[string]struct {
		removes bool
		entry   Entry
		job     bool
	}{
		"stays":                             {false, entry, false},
		"is removed":                        {true, entry, true},
		"is removed if it may be there":     {true, Entry{Attempt: filestore.OpID{1}}, true},
		"stays if another has published it": {true, Entry{Version: filestore.OpID{1}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(c.removes)
			b.restore("a", c.entry)
			b.pass(time.Hour)
			b.idle(t) // nobody has looked
			b.miss("a", b.now)
			b.pass(goneFor - 1)
			b.miss("a", b.now)
			b.idle(t)
			assert.Contains(t, b.tracks, "a")
			b.pass(1)
			b.miss("a", b.now)
			if c.job {
				j := b.begin(t)
				assert.True(t, j.remove)
				assert.Equal(t, c.entry, j.entry)
				b.finish(j, outcome{verdict: done}, b.now)
			}
			b.idle(t)
			assert.NotContains(t, b.tracks, "a")
			assert.Equal(t, [phases]int{}, b.counts)
			edits := b.takeEdits()
			assert.Equal(t, edit{path: "a"}, edits[len(edits)-1])
		})
	}
	t.Run("and comes back", func(t *testing.T) {
		b := newBench(true)
		b.restore("a", entry)
		b.miss("a", b.now)
		b.pass(goneFor)
		b.miss("a", b.now)
		b.see("a", entry.Print, b.now)
		b.idle(t)
		assert.Equal(t, 1, b.counts[published])
	})
	t.Run("and comes back while it is removed", func(t *testing.T) {
		b := newBench(true)
		b.restore("a", entry)
		b.miss("a", b.now)
		b.pass(goneFor)
		b.miss("a", b.now)
		j := b.begin(t)
		b.see("a", entry.Print, b.now)
		b.finish(j, outcome{verdict: done}, b.now)
		b.complete("a", entry.Print)
		assert.False(t, b.begin(t).remove)
	})
}

func TestWhatIsBegunIsRememberedWhereItMattersLater(t *testing.T) {
	b := newBench(true)
	b.complete("a", Print{Size: 1})
	j := b.begin(t)
	assert.Equal(t, []edit{{"a", Entry{Attempt: j.op}}}, b.takeEdits())
	b = newBench(false)
	b.complete("a", Print{Size: 1})
	b.begin(t)
	assert.Empty(t, b.takeEdits())
}

// A folder, a ring and a system that do anything: what was begun was still, no
// file is worked on twice at once, and in the end the ring has what is there.
func TestMachineKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		removes := rapid.Bool().Draw(t, "removes")
		b := newBench(removes)
		disk := map[string]Print{}
		since := map[string]time.Time{} // of the last change that the machine could know of
		ring := map[string]Print{}
		work := map[string]job{}
		version := int64(0)
		looks := func(path string) {
			if p, there := disk[path]; there {
				b.see(path, p, b.now)
			} else {
				b.miss(path, b.now)
			}
		}
		settle := func(j job, v verdict) {
			delete(work, j.path)
			p, there := disk[j.path]
			if v == done && (j.remove == there || !j.remove && p != j.print) {
				v = changed // what workers find out
			}
			o := outcome{verdict: v, fault: &Fault{Kind: Refused}}
			if v == done && j.remove {
				delete(ring, j.path)
			} else if v == done {
				o = ok(j)
				ring[j.path] = j.print
			}
			b.finish(j, o, b.now)
		}
		path := rapid.SampledFrom([]string{"a", "b", "c"})
		start := func() {
			j, started := b.next(b.now)
			if !started {
				return
			}
			require.NotContains(t, work, j.path)
			require.False(t, b.now.Before(since[j.path].Add(stillFor)) && j.print == disk[j.path], "begun before it was still")
			require.False(t, j.remove && !removes)
			work[j.path] = j
		}
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				version++
				p := path.Draw(t, "path")
				disk[p] = Print{Size: 1, Modified: version}
				since[p] = b.now
			},
			"delete": func(t *rapid.T) {
				p := path.Draw(t, "path")
				delete(disk, p)
				since[p] = b.now
			},
			"look": func(t *rapid.T) { looks(path.Draw(t, "path")) },
			"pass": func(t *rapid.T) {
				b.pass(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
				b.retryRefused(b.now)
			},
			"start": func(*rapid.T) { start() },
			"settle": func(t *rapid.T) {
				if j, ok := work[path.Draw(t, "path")]; ok {
					settle(j, rapid.SampledFrom([]verdict{done, changed, open, unavailable, failed}).Draw(t, "verdict"))
				}
			},
			"": func(t *rapid.T) {
				sum := 0
				for p, n := range b.counts {
					require.GreaterOrEqual(t, n, 0, "phase %d", p)
					sum += n
				}
				require.Equal(t, len(b.tracks), sum)
				require.Equal(t, len(work), b.counts[working])
				require.Equal(t, b.counts[queued], b.queue.Len())
				require.Equal(t, b.counts[refused], len(b.sulky))
			},
		})
		// Then nothing happens any more, and everything works.
		for range 20 {
			for _, j := range work {
				settle(j, done)
			}
			b.pass(longestRetry)
			b.retryRefused(b.now)
			for _, p := range []string{"a", "b", "c"} {
				looks(p)
			}
			start()
		}
		for p, print := range disk {
			require.Equal(t, print, ring[p], p)
		}
		for p := range ring {
			if _, there := disk[p]; removes {
				require.True(t, there, "%s is gone and on the ring", p)
			}
		}
		require.Equal(t, len(disk), b.counts[published])
		require.Len(t, b.tracks, len(disk))
	})
}
