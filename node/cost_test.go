package node_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
)

// fill puts the tombstones of count names on the disks of those members, none of
// which runs, that keep each: as registers go they cost what files do, and have
// no content.
func fill(t *testing.T, members []*ringtest.Member, count int) {
	t.Helper()
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("a directory/of many files/%06d", i)
	}
	slices.SortFunc(names, func(a, b string) int { // a table in memory takes them best in its order
		return chord.KeyOf(a).Compare(chord.KeyOf(b))
	})
	records := make([]filestore.Record, count)
	for i, name := range names {
		records[i] = filestore.Record{
			Format: filestore.RecordFormat, Name: name, Op: filestore.OpID{1}, Deleted: true, DeletedAt: time.Now().UnixNano(),
			Publisher: members[0].Membership.Machine(), Voters: filestore.Voters{New: keepers(members, name)}, Changes: 2,
		}
		members[0].Sign(&records[i])
	}
	for _, m := range members {
		s, err := filestore.Open(filestore.Options{Disk: m.Disk, Positions: [][20]byte{m.Membership.Positions()[0]}})
		require.NoError(t, err)
		for i := range records {
			rec := &records[i]
			if !rec.Voters.Contains(m.Membership.Machine()) {
				continue
			}
			at := filestore.Ballot{Counter: 7, Machine: rec.Voters.New[0]}
			_, err := s.Update(rec.Name, func(filestore.Register) (filestore.Register, error) {
				return filestore.Register{Promised: at, Accepted: at, Record: rec}, nil
			})
			require.NoError(t, err)
		}
		require.NoError(t, s.Close())
	}
}

// keepers are the three machines at or after a name's key, in the order of a
// voter list.
func keepers(members []*ringtest.Member, name string) []filestore.MachineID {
	key := chord.KeyOf(name)
	at := func(m *ringtest.Member) chord.ID { return key.Distance(m.Membership.Positions()[0]) }
	along := slices.Clone(members)
	slices.SortFunc(along, func(a, b *ringtest.Member) int { return at(a).Compare(at(b)) })
	var voters []filestore.MachineID
	for _, m := range along[:3] {
		voters = append(voters, m.Membership.Machine())
	}
	slices.SortFunc(voters, func(a, b filestore.MachineID) int { return bytes.Compare(a[:], b[:]) })
	return voters
}

// traffic is how many bytes each pair of members has exchanged since the ring
// was made, each way, in all.
func traffic(r *ringtest.Ring) (total int64) {
	for _, a := range r.Members {
		for _, b := range r.Members {
			total += r.Net.Sent(a.Host, b.Host)
		}
	}
	return total
}

// idle runs a full ring of five for four minutes in which nothing happens and
// returns how many bytes went over its links.
func idle(t *testing.T, files int, every time.Duration) (sent int64) {
	t.Helper()
	ringtest.Test(t, ringtest.Options{Nodes: 5, Timing: node.Timing{RepairEvery: every}}, func(t *testing.T, r *ringtest.Ring) {
		for _, m := range r.Members {
			r.Stop(m)
		}
		fill(t, r.Members, files)
		for _, m := range r.Members {
			r.Start(m)
		}
		r.Ready(r.Members...)
		time.Sleep(3 * time.Minute)
		before := traffic(r)
		time.Sleep(4 * time.Minute)
		sent = traffic(r) - before
	})
	return sent
}

// sizes are the numbers of files that costs are measured for: small ones, and
// with DHTFS_LONG large ones too.
func sizes() []int {
	if os.Getenv("DHTFS_LONG") != "" {
		return []int{1000, 10_000, 100_000}
	}
	return []int{bubble.Fewer(1000)}
}

// Comparing costs a few hundred bytes a neighbour and round as long as nothing
// changes, however many files there are.
func TestCostOfComparingWhenNothingChanged(t *testing.T) {
	for _, files := range sizes() {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			const often = 10 * time.Second
			without, with := idle(t, files, 10*time.Hour), idle(t, files, often)
			rounds := int64(4 * time.Minute / often)
			each := (with - without) / (5 * 4 * rounds) // of five members, with four neighbours each
			t.Logf("%d files: %d bytes a neighbour and round, there and back; the ring itself sends %d bytes a second and member",
				files, each, without/240/5)
			assert.Less(t, each, int64(750)) // with what it takes to keep connections
			assert.Positive(t, each)
		})
	}
}

// One name that a voter lacks is found and brought to it by a few messages.
func TestCostOfOneDifference(t *testing.T) {
	for _, files := range sizes() {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
				for _, m := range r.Members {
					r.Stop(m)
				}
				fill(t, r.Members, files)
				for _, m := range r.Members {
					r.Start(m)
				}
				r.Ready(r.Members...)
				time.Sleep(2 * time.Minute)
				before := traffic(r)
				time.Sleep(3 * time.Minute)
				quiet := traffic(r) - before
				odd := fmt.Sprintf("a directory/of many files/%06d", files/2)
				victim := r.Member(keepers(r.Members, odd)[1])
				require.NoError(t, victim.Unlearn(odd))
				before = traffic(r)
				time.Sleep(3 * time.Minute)
				cost := traffic(r) - before - quiet
				t.Logf("%d files: one difference cost %d bytes in all, the repair included", files, cost)
				assert.True(t, remembers(t, victim, odd))
				assert.Less(t, cost, int64(200<<10))
			})
		})
	}
}

// A quiet ring mostly talks over connections that it has, however large it is.
func TestAQuietRingShakesFewHands(t *testing.T) {
	size := bubble.Fewer(40)
	ringtest.Test(t, ringtest.Options{Nodes: size, AtOnce: true}, func(t *testing.T, r *ringtest.Ring) {
		r.Ready(r.Members...)
		time.Sleep(3 * time.Minute)
		before := r.Net.Made()
		time.Sleep(4 * time.Minute)
		each := float64(r.Net.Made()-before) / float64(size) / 4
		t.Logf("%d members: %.1f new connections a minute and member", size, each)
		assert.Less(t, each, 8.0)
	})
}
