package node_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/ringtest"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/register"
	"github.com/dhtfs/dhtfs/transfer"
)

// forged is a record of content that by never stored under name.
func forged(name string, content []byte, by node.MachineID) filestore.Record {
	d := filestore.NewDigest()
	_, _ = d.Write(content)
	return filestore.Record{
		Format: filestore.RecordFormat, Name: name, Op: node.NewOp(),
		Size: d.Size(), SHA256: d.SHA256(), Root: d.Root(), Publisher: by,
	}
}

// A member with a daemon of its own making cannot put content, or a deletion,
// under another's name: not as publisher, as coordinator, as voter or by repair.
func TestNobodyPublishesForAnother(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		ctx := t.Context()
		owner := r.Members[0]
		r.Store(owner, "name", []byte("the owner's"), node.StoreOptions{})
		voters := r.Holders(owner, "name")
		require.Len(t, voters, 3)
		evil := r.Others(voters...)[0]
		if evil == owner {
			owner = r.Members[1]
			r.Store(owner, "name", []byte("the owner's"), node.StoreOptions{IfExists: node.Replace})
			require.NotContains(t, r.Holders(owner, "name"), evil)
		}
		victim := voters[0]
		before, err := victim.Register("name")
		require.NoError(t, err)
		content := []byte("forged content")
		var signed filestore.Record // by the one who forges
		for what, rec := range map[string]filestore.Record{
			"unsigned":                 forged("name", content, owner.Membership.Machine()),
			"of a stranger":            forged("name", content, node.MachineID{7}),
			"with another's signature": forged("name", content, owner.Membership.Machine()),
			"of another operation": func() filestore.Record {
				rec := forged("name", content, owner.Membership.Machine())
				rec.Signature = before.Record.Signature
				return rec
			}(),
		} {
			if what == "with another's signature" {
				evil.Sign(&rec)
				signed = rec
				rec.Publisher = owner.Membership.Machine()
			}
			to := victim.Membership.Machine()
			assert.ErrorIs(t, evil.StoreAs(ctx, to, rec, content), transfer.ErrDenied, "%s: store", what)
			assert.ErrorIs(t, evil.StageAt(ctx, to, rec, content), transfer.ErrDenied, "%s: stage", what)
			assert.ErrorIs(t, evil.StoreSmallAs(ctx, to, rec, content), transfer.ErrDenied, "%s: store in a call", what)
			assert.ErrorIs(t, evil.StageSmallAt(ctx, to, rec, content), transfer.ErrDenied, "%s: stage in a call", what)
			_, err := evil.Create(ctx, to, register.Accept{Ballot: filestore.Ballot{Counter: 1000, Fast: true}, Record: rec}, content)
			assert.ErrorIs(t, err, transfer.ErrDenied, "%s: create", what)
			assert.ErrorIs(t, evil.Obtain(ctx, to, rec), transfer.ErrDenied, "%s: obtain", what)
			ballot := filestore.Ballot{Counter: before.Accepted.Counter + 1000, Machine: evil.Membership.Machine()}
			view := register.ViewOf(before.Record, before.Accepted)
			_, err = evil.Prepare(ctx, to, register.Prepare{Name: rec.Name, Ballot: ballot, View: view})
			require.NoError(t, err)
			rec.Voters = before.Record.Voters
			_, err = evil.Accept(ctx, to, register.Accept{Ballot: ballot, View: view, Record: rec})
			assert.ErrorIs(t, err, transfer.ErrDenied, "%s: accept", what)
			gone := filestore.Record{
				Format: filestore.RecordFormat, Name: "name", Op: rec.Op, Deleted: true,
				Publisher: rec.Publisher, Signature: rec.Signature,
			}
			assert.ErrorIs(t, evil.DeleteAs(ctx, to, gone, before.Record.Changes), transfer.ErrDenied, "%s: delete", what)
			gone.Voters = rec.Voters
			_, err = evil.Accept(ctx, to, register.Accept{Ballot: ballot, View: view, Record: gone})
			assert.ErrorIs(t, err, transfer.ErrDenied, "%s: accept a tombstone", what)
		}
		require.NoError(t, evil.StageAt(ctx, victim.Membership.Machine(), signed, content), "in one's own name one may")
		require.NoError(t, evil.StageSmallAt(ctx, victim.Membership.Machine(), signed, content))

		after, err := victim.Register("name")
		require.NoError(t, err)
		assert.Equal(t, before.Accepted, after.Accepted)
		assert.Equal(t, before.Record, after.Record)
		r.CheckName(victim, "name", []byte("the owner's"))
	})
}

// A voter that answers with a forged record, and has it spread by repair, is
// taken for one that does not answer.
func TestAForgedCopyDoesNotSpread(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		owner, evil := r.Members[0], r.Members[2]
		r.Store(owner, "name", []byte("the owner's"), node.StoreOptions{})
		before, err := evil.Register("name")
		require.NoError(t, err)
		content := []byte("forged content")
		rec := forged("name", content, owner.Membership.Machine())
		rec.Voters, rec.Changes, rec.Signature = before.Record.Voters, 2, before.Record.Signature
		at := filestore.Ballot{Counter: before.Accepted.Counter + 50, Machine: evil.Membership.Machine()}
		require.NoError(t, evil.Plant(rec, content, at))

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_ = evil.Propose(ctx, "name") // it may fail, or be told by the others what is stored
		time.Sleep(3 * time.Minute)   // of repair
		for _, m := range r.Members[:2] {
			r.CheckName(m, "name", []byte("the owner's"))
			f, err := m.Stat(t.Context(), "name")
			require.NoError(t, err)
			assert.Equal(t, owner.Membership.Machine(), f.Record.Publisher)
			assert.Equal(t, before.Record.Signature, f.Record.Signature)
		}
		require.NoError(t, evil.Plant(rec, content, filestore.Ballot{Counter: at.Counter << 8, Machine: at.Machine}))
		r.Crash(r.Members[1]) // no majority without the forger
		got, f, err := ringtest.Fetch(t.Context(), owner, "name", node.FetchOptions{})
		require.NoError(t, err)
		assert.False(t, f.Confirmed)
		assert.Equal(t, "the owner's", string(got))
		r.Start(r.Members[1])
		r.Lose(evil) // it would give out its own
		r.Start(evil)
		r.Ready(evil)
	})
}

// A voter may be asked to accept what a machine has stored that it has not heard
// of: it asks who sends it. Nobody can be made up.
func TestAnUnknownPublisherIsAskedFor(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 3}, func(t *testing.T, r *ringtest.Ring) {
		founder, voter := r.Members[0], r.Members[2]
		r.Stop(voter)
		late := r.Admit()
		r.Start(late)
		r.Ready(late)

		ln, err := r.Net.Listen(net.JoinHostPort("aside", "0"))
		require.NoError(t, err)
		r.Net.Up("aside")
		n, err := node.New(node.Config{
			Membership: voter.Membership, Listener: ln, Version: "test", Dial: r.Net.Dialer("aside"),
		})
		require.NoError(t, err)
		key, err := n.PublisherKey(t.Context(), late.Membership.Machine(), founder.Membership.Machine())
		require.NoError(t, err)
		assert.NotEmpty(t, key)
		_, err = n.PublisherKey(t.Context(), node.MachineID{9}, founder.Membership.Machine())
		require.Error(t, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, n.Run(ended))
		r.Start(voter)
		r.Ready(voter)
	})
}

// What a member stored stays readable, and may move, when the member has left.
func TestRecordsOutliveTheirPublishers(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		leaver := r.Members[4]
		for _, name := range []string{"a", "b", "c", "d"} {
			r.Store(leaver, name, []byte("content of "+name), node.StoreOptions{})
		}
		_, err := leaver.Logout(t.Context(), time.Minute)
		require.NoError(t, err)
		r.Ended(leaver)
		r.Crash(r.Members[3])
		newcomer := r.Admit()
		r.Start(newcomer)
		r.Ready(newcomer)
		r.Start(r.Members[3])
		r.Whole(5 * time.Minute)
		f, err := newcomer.Stat(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, leaver.Membership.Machine(), f.Record.Publisher)
	})
}

// Nobody can use up the counters of the others, nor freeze a name under a ballot that
// none comes after: as a coordinator or as a voter.
func TestBallotsFarAheadAreRefused(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 4}, func(t *testing.T, r *ringtest.Ring) {
		ctx := t.Context()
		r.StoreMany(8)
		evil := r.Members[3]
		far := filestore.Ballot{Counter: 1 << 62, Machine: evil.Membership.Machine()}
		name := ""
		for i := 0; name == ""; i++ { // which evil votes on
			r.Store(r.Members[0], fmt.Sprint("voted on ", i), []byte("first"), node.StoreOptions{})
			if reg, err := evil.Register(fmt.Sprint("voted on ", i)); err == nil && reg.Record != nil {
				name = fmt.Sprint("voted on ", i)
			}
		}
		reg, err := evil.Register(name)
		require.NoError(t, err)
		view := register.ViewOf(reg.Record, reg.Accepted)
		for _, m := range r.Members[:3] {
			to := m.Membership.Machine()
			_, err := evil.Prepare(ctx, to, register.Prepare{Name: name, Ballot: far, View: view})
			require.ErrorIs(t, err, transfer.ErrProtocol)
			_, err = evil.Accept(ctx, to, register.Accept{Ballot: far, View: view, Record: *reg.Record})
			require.ErrorIs(t, err, transfer.ErrProtocol)
			fast := far
			fast.Fast = true
			_, err = evil.Create(ctx, to, register.Accept{Ballot: fast, View: view, Record: *reg.Record}, []byte("first"))
			require.ErrorIs(t, err, transfer.ErrProtocol)
			moved := *reg.Record // by its own word
			moved.Voters = filestore.Voters{New: []node.MachineID{evil.Membership.Machine()}}
			require.ErrorIs(t, evil.Keep(ctx, to, moved, far), transfer.ErrProtocol)
		}
		near := far // as far as anybody takes: the others go on above it
		near.Counter = uint64(time.Now().Add(200 * 24 * time.Hour).UnixMicro())
		for _, m := range r.Members[:3] {
			_, err := evil.Prepare(ctx, m.Membership.Machine(), register.Prepare{Name: name, Ballot: near, View: view})
			require.NoError(t, err)
		}
		r.Store(r.Members[0], name, []byte("second"), node.StoreOptions{IfExists: node.Replace})
		rec := *reg.Record
		require.NoError(t, evil.Plant(rec, []byte("first"), far)) // it claims to have accepted that
		for _, m := range r.Members[:3] {
			r.Store(m, name, []byte("by "+m.Host), node.StoreOptions{IfExists: node.Replace})
			got, _, err := ringtest.Fetch(ctx, m, name, node.FetchOptions{})
			require.NoError(t, err)
			require.Equal(t, "by "+m.Host, string(got))
			at, err := m.Register(name)
			require.NoError(t, err)
			require.Less(t, at.Accepted.Counter, far.Counter)
		}
		r.Forget(name) // one of its voters has it otherwise for good
	})
}

// A copy to keep is not taken for news of who votes: not by the voters, who would all
// give up their votes, and not by those who have nothing of the name.
func TestAVoterListIsNotTakenFromOneMember(t *testing.T) {
	ringtest.Test(t, ringtest.Options{Nodes: 5}, func(t *testing.T, r *ringtest.Ring) {
		ctx := t.Context()
		r.Store(r.Members[0], "name", []byte("the owner's"), node.StoreOptions{})
		voters := r.Holders(r.Members[0], "name")
		require.Len(t, voters, 3)
		others := r.Others(voters...)
		evil, outsider := others[0], others[1]
		before, err := voters[0].Register("name")
		require.NoError(t, err)
		at := filestore.Ballot{Counter: before.Accepted.Counter + 1, Machine: evil.Membership.Machine()}
		for what, list := range map[string]filestore.Voters{
			"the sender":        {New: []node.MachineID{evil.Membership.Machine()}},
			"nobody there is":   {New: []node.MachineID{{1}, {2}, {3}}},
			"on its way":        {Old: before.Record.Voters.New, New: []node.MachineID{{1}, {2}, {3}}},
			"right, but not at": before.Record.Voters,
		} {
			moved := *before.Record
			moved.Voters = list
			for _, m := range append(voters, outsider) {
				require.Error(t, evil.Keep(ctx, m.Membership.Machine(), moved, at), what)
			}
		}
		for _, m := range voters {
			reg, err := m.Register("name")
			require.NoError(t, err)
			assert.Equal(t, before.Accepted, reg.Accepted)
			assert.Equal(t, before.Record.Voters, reg.Record.Voters)
		}
		assert.False(t, outsider.Has("name"))
		r.CheckName(outsider, "name", []byte("the owner's"))

		require.NoError(t, evil.Keep(ctx, outsider.Membership.Machine(), *before.Record, before.Accepted), "what is chosen may be kept")
		assert.True(t, outsider.Has("name"))
	})
}
