package node_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// isFast reports whether what a member has of a name came there by a creation in
// one round.
func isFast(t *testing.T, m *ringtest.Member, name string) bool {
	t.Helper()
	r, err := m.Register(name)
	require.NoError(t, err)
	return r.Accepted.Fast
}

// A new small file costs one commit at each of its voters, whichever member stores it.
func TestACreationTakesOneCommitAtEachVoter(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		var commits atomic.Int32
		for _, m := range r.Members {
			m.Disk.SetFault(func(op filestore.Op, path string) error {
				if op == filestore.OpCommit && strings.HasPrefix(path, "journal-") { // the table's comes later, for many
					commits.Add(1)
				}
				return nil
			})
		}
		stored, taken := int32(0), int32(0)
		for i, m := range r.Members {
			for _, content := range [][]byte{{}, noise(1, 1), noise(2, 10_000), bytes.Repeat([]byte("x"), 64<<10)} {
				name := fmt.Sprint("new ", i, "/", len(content))
				before := commits.Load()
				got, err := m.Store(t.Context(), name, bytes.NewReader(content), sized(content))
				require.NoError(t, err)
				assert.Equal(t, node.Stored, got.Action)
				assert.Equal(t, 3, got.Copies)
				stored++
				taken += commits.Load() - before
				r.Acknowledged(name, content)
				voters := groupOf(t, r, name)
				for _, v := range voters {
					assert.True(t, isFast(t, v, name), "%s at %s", name, v.Host)
				}
				_, err = m.Store(t.Context(), name, bytes.NewReader([]byte("other")), sized([]byte("other")))
				require.ErrorIs(t, err, node.ErrExists)
			}
		}
		assert.InDelta(t, 3*stored, taken, 3, "for %d files; a node has some of its own now and then", stored)
	})
}

// A store of a new name does without a voter that is away, full or refuses, and is
// carried out once.
func TestACreationWithoutOneOfTheVoters(t *testing.T) {
	for what, trouble := range map[string]func(r *ringtest.Ring, m *ringtest.Member){
		"crashed": func(r *ringtest.Ring, m *ringtest.Member) { r.Crash(m) },
		"dark":    func(r *ringtest.Ring, m *ringtest.Member) { r.Blackout(m) },
		"full":    func(_ *ringtest.Ring, m *ringtest.Member) { m.Disk.SetCapacity(1) },
		"failing": func(_ *ringtest.Ring, m *ringtest.Member) {
			m.Disk.SetFault(func(op filestore.Op, _ string) error {
				if op == filestore.OpCommit {
					return errors.New("the disk is broken")
				}
				return nil
			})
		},
		"hanging": func(_ *ringtest.Ring, m *ringtest.Member) { time.AfterFunc(time.Minute, m.Disk.Hang()) },
	} {
		t.Run(what, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				r.Settled()
				m := r.Members[3]
				names := []string{nameAt(t, r, m, "a"), nameAt(t, r, m, "b"), nameAt(t, r, m, "c")}
				trouble(r, m)
				for i, name := range names {
					content := noise(uint64(i), 5000)
					o := sized(content)
					o.Op = node.NewOp()
					start := time.Now()
					got, err := r.Members[i].Store(t.Context(), name, bytes.NewReader(content), o)
					require.NoError(t, err, name)
					assert.Less(t, time.Since(start), 10*time.Second, name)
					assert.Equal(t, node.Stored, got.Action)
					assert.GreaterOrEqual(t, got.Copies, 2)
					r.Acknowledged(name, content)
					for _, by := range r.Others(m) {
						r.CheckName(by, name, content)
						assert.EqualValues(t, 1, changes(t, by, name), "it happened once")
					}
				}
				if what == "failing" || what == "hanging" {
					time.Sleep(time.Minute)
					r.Stop(m)
					m.Disk.SetFault(nil)
				}
				m.Disk.SetCapacity(1 << 40)
				if what != "full" {
					r.Start(m)
					r.Ready(m)
				}
				r.Whole(20 * time.Minute)
			})
		})
	}
}

// Of many who create one name at once one wins, and nobody else is told that it did.
func TestOneOfManyCreationsWins(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: 2 * time.Millisecond, Jitter: 3 * time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		for i := range bubble.Fewer(30) {
			name := fmt.Sprint("name ", i)
			won := make([]bool, len(r.Members))
			var all sync.WaitGroup
			for k, m := range r.Members {
				all.Go(func() {
					content := []byte(m.Host)
					_, err := m.Store(t.Context(), name, bytes.NewReader(content), sized(content))
					won[k] = err == nil
					if err != nil {
						assert.ErrorIs(t, err, node.ErrExists, "%s at %s", name, m.Host)
					}
				})
			}
			all.Wait()
			winners := 0
			for k, m := range r.Members {
				if won[k] {
					winners++
					r.Acknowledged(name, []byte(m.Host))
				}
			}
			require.Equal(t, 1, winners, name)
		}
	})
}

// What was created in one round is read as long as a majority of its voters is there,
// also right after one of them has gone.
func TestAReadOfACreationWithoutAVoter(t *testing.T) {
	for what, leave := range map[string]func(*ringtest.Ring, ...*ringtest.Member){"crashed": (*ringtest.Ring).Crash, "dark": (*ringtest.Ring).Blackout} {
		t.Run(what, func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				r.Settled()
				m := r.Members[3]
				content := noise(1, 1000)
				names := []string{nameAt(t, r, m, "a"), nameAt(t, r, m, "b"), nameAt(t, r, m, "c"), nameAt(t, r, m, "d")}
				for _, name := range names {
					r.Store(r.Members[0], name, content, sized(content))
				}
				leave(r, m)
				for i, by := range r.Others(m) {
					start := time.Now()
					r.CheckName(by, names[i], content)
					// A lookup may wait for the one that is dark; the read itself does not.
					assert.Less(t, time.Since(start), 4*time.Second, "%s at %s", names[i], by.Host)
				}
				r.Start(m)
				r.Ready(m)
			})
		})
	}
}

// creation is a signed record of a new name, as its coordinator would have it accepted.
func creation(t *testing.T, r *ringtest.Ring, by *ringtest.Member, name string, content []byte, counter uint64) register.Accept {
	t.Helper()
	rec := forged(name, content, by.Membership.Machine())
	by.Sign(&rec)
	var voters filestore.Voters
	for _, v := range groupOf(t, r, name) {
		voters.New = append(voters.New, v.Membership.Machine())
	}
	voters.New = voters.All() // in the order that every coordinator has them in
	task := register.Task{Change: &register.Change{Op: rec.Op, Apply: func(*filestore.Record) (filestore.Record, filestore.Result) {
		return rec, filestore.ResultStored
	}}}
	ballot := filestore.Ballot{Counter: counter, Machine: by.Membership.Machine(), Fast: true}
	msg, _, ok := register.NewRound(name, ballot, register.View{Voters: voters}, task).Create()
	require.True(t, ok)
	return msg
}

// A coordinator that dies in the middle of a creation leaves a file that is there for
// everybody, or for nobody.
func TestACreationThatBrokeOff(t *testing.T) {
	for accepted := range 4 {
		t.Run(fmt.Sprint(accepted), func(t *testing.T) {
			ringtest.Test(t, ringtest.Options{Nodes: 5, Delay: time.Millisecond}, func(t *testing.T, r *ringtest.Ring) {
				r.Settled()
				name, content := "name", []byte("what was created")
				voters := groupOf(t, r, name)
				by := r.Others(voters...)[0]
				msg := creation(t, r, by, name, content, 1000)
				for _, v := range voters[:accepted] {
					a, err := by.Create(t.Context(), v.Membership.Machine(), msg, content)
					require.NoError(t, err)
					require.Equal(t, register.OK, a.Status)
				}
				there := 0
				for _, m := range r.Members {
					_, f, err := ringtest.Fetch(t.Context(), m, name, node.FetchOptions{})
					if errors.Is(err, node.ErrNotFound) {
						continue
					}
					require.NoError(t, err)
					assert.True(t, f.Confirmed)
					there++
				}
				if accepted == len(voters) {
					assert.Equal(t, len(r.Members), there)
				}
				if there > 0 {
					r.Acknowledged(name, content)
					assert.Equal(t, len(r.Members), there, "once it was seen it stays")
				}
			})
		})
	}
}

// What is no creation is refused, and nothing is left of it.
func TestAVoterRefusesWhatIsNoCreation(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		r.Settled()
		content := []byte("content")
		for _, name := range []string{"known", "free"} {
			if name == "known" {
				r.Store(r.Members[0], name, []byte("the owner's"), sized([]byte("the owner's")))
			}
			voters := groupOf(t, r, name)
			by := r.Others(voters...)[0]
			to := voters[0].Membership.Machine()
			before, err := voters[0].Register(name)
			require.NoError(t, err)
			good := creation(t, r, by, name, content, 1<<40)
			if name == "known" {
				a, err := by.Create(t.Context(), to, good, content)
				require.NoError(t, err)
				assert.Equal(t, register.Outbid, a.Status)
				assert.Equal(t, before.Record, a.Record)
			}
			classic := good
			classic.Ballot.Fast = false
			a, err := by.Create(t.Context(), to, classic, content)
			require.NoError(t, err)
			assert.Equal(t, register.Outbid, a.Status, "a ballot that outbids others is prepared first")
			unsigned := good
			unsigned.Record.Signature = make([]byte, ed25519.SignatureSize)
			_, err = by.Create(t.Context(), to, unsigned, content)
			require.ErrorIs(t, err, transfer.ErrDenied)
			if name == "free" {
				for _, other := range []string{"CONTENT", "longer content", ""} {
					_, err = by.Create(t.Context(), to, good, []byte(other))
					require.Error(t, err, other)
				}
			}
			after, err := voters[0].Register(name)
			require.NoError(t, err)
			assert.Equal(t, before, after)
		}
		for _, m := range r.Members {
			assert.Empty(t, m.Disk.Leftovers())
			r.CheckName(m, "free", nil)
		}
	})
}
