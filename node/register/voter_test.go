package register_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// ballot n is the n-th one of machine 0.
func ballot(n uint64) filestore.Ballot { return filestore.Ballot{Counter: n, Machine: id(0)} }

func voters(ns ...int) filestore.Voters { return filestore.Voters{New: ids(ns...)} }

func view(v filestore.Voters, basis uint64) register.View {
	w := register.View{Voters: v}
	if basis != 0 {
		w.Basis = ballot(basis)
	}
	return w
}

// promised is the register of a voter that promised a ballot and accepted
// nothing yet.
func promised(p uint64) filestore.Register { return filestore.Register{Promised: ballot(p)} }

// holding is the register of a voter that promised p and accepted a under v.
func holding(p, a uint64, v filestore.Voters) filestore.Register {
	return filestore.Register{
		Promised: ballot(p), Accepted: ballot(a), Held: true,
		Record: &filestore.Record{Name: registerName, Voters: v},
	}
}

func TestOnPrepare(t *testing.T) {
	var (
		old    = voters(0, 1, 2)
		moving = joint(ids(0, 1, 2), ids(1, 2, 3))
		none   filestore.Register
	)
	for _, test := range []struct {
		name      string
		self      int
		register  filestore.Register
		ballot    uint64
		view      register.View
		joining   []filestore.MachineID
		knowledge register.Knowledge
		want      register.Status
	}{
		{"untouched", 0, none, 1, view(old, 0), nil, register.Authoritative, register.OK},
		{"missed, a voter", 0, none, 1, view(old, 1), nil, register.Missed, register.OK},
		{"missed, not yet a name", 0, none, 1, view(old, 0), nil, register.Missed, register.DontKnow},
		{"missed, no voter", 3, none, 1, view(old, 1), nil, register.Missed, register.DontKnow},
		{"untouched, ignorant", 0, none, 1, view(old, 0), nil, register.Ignorant, register.DontKnow},
		{"promised only, ignorant", 0, promised(1), 2, view(old, 1), nil, register.Ignorant, register.DontKnow},
		{"ignorant, to be made a voter", 3, none, 1, view(old, 0), ids(1, 2, 3), register.Ignorant, register.OK},
		{"ignorant, a voter that stays one", 1, none, 1, view(old, 0), ids(1, 2, 3), register.Ignorant, register.DontKnow},
		{"ignorant, becoming a voter", 3, none, 3, view(moving, 2), nil, register.Ignorant, register.OK},
		{"ignorant, a voter before and after", 1, none, 3, view(moving, 2), nil, register.Ignorant, register.DontKnow},
		{"ignorant, ceasing to be a voter", 0, none, 3, view(moving, 2), nil, register.Ignorant, register.DontKnow},
		{"ignorant in general, knows this one", 0, holding(1, 1, old), 2, view(old, 1), nil, register.Ignorant, register.OK},
		{"greater ballot", 0, promised(1), 2, view(old, 0), nil, register.Authoritative, register.OK},
		{"smaller ballot", 0, promised(3), 2, view(old, 0), nil, register.Authoritative, register.Outbid},
		{"smaller ballot, ignorant", 0, promised(3), 2, view(old, 1), nil, register.Ignorant, register.Outbid},
		{"repeated", 0, holding(2, 1, old), 2, view(old, 1), nil, register.Authoritative, register.OK},
		{"repeated after the accept", 0, holding(2, 2, old), 2, view(old, 1), nil, register.Authoritative, register.Outbid},
		{"view older than the move", 0, holding(5, 5, moving), 9, view(old, 4), nil, register.Authoritative, register.OtherList},
		{"view older, ballot too", 0, holding(5, 5, moving), 3, view(old, 2), nil, register.Authoritative, register.OtherList},
		{"same new list, other old one", 0, holding(5, 5, moving), 9, view(voters(1, 2, 3), 4), nil, register.Authoritative, register.OtherList},
		{"view newer than the voter", 0, holding(2, 2, old), 9, view(moving, 5), nil, register.Authoritative, register.OK},
		{"view from the voter's own record", 0, holding(5, 5, moving), 9, view(moving, 5), nil, register.Authoritative, register.OK},
		{"same list, accepted since", 0, holding(7, 7, old), 9, view(old, 2), nil, register.Authoritative, register.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := register.Prepare{Name: registerName, Ballot: ballot(test.ballot), View: test.view, Joining: test.joining}
			after, a := register.OnPrepare(id(test.self), test.register, m, test.knowledge)
			want := test.register
			if test.want == register.OK || test.want == register.DontKnow {
				want.Promised = ballot(test.ballot)
			}
			assert.Equal(t, want, after)
			assert.Equal(t, register.Answer{
				Status: test.want, Promised: want.Promised, Accepted: want.Accepted, Record: want.Record, Held: want.Held,
			}, a)
		})
	}
}

func TestOnAccept(t *testing.T) {
	var (
		old    = voters(0, 1, 2)
		moving = joint(ids(0, 1, 2), ids(1, 2, 3))
		none   filestore.Register
		rec    = filestore.Record{Name: registerName, Voters: moving, Changes: 7}
		tomb   = filestore.Record{Name: registerName, Voters: moving, Changes: 7, Deleted: true}
	)
	for _, test := range []struct {
		name     string
		register filestore.Register
		ballot   uint64
		view     register.View
		record   filestore.Record
		holds    bool
		want     register.Status
	}{
		{"as promised", holding(5, 2, old), 5, view(old, 2), rec, true, register.OK},
		{"the first record", promised(5), 5, view(old, 0), rec, true, register.OK},
		{"never promised", none, 5, view(old, 0), rec, true, register.Outbid},
		{"promised less", holding(4, 2, old), 5, view(old, 2), rec, true, register.Outbid},
		{"promised more", holding(6, 2, old), 5, view(old, 2), rec, true, register.Outbid},
		{"without the content", holding(5, 2, old), 5, view(old, 2), rec, false, register.NoContent},
		{"a tombstone needs none", holding(5, 2, old), 5, view(old, 2), tomb, false, register.OK},
		{"a tombstone never has one", holding(5, 2, old), 5, view(old, 2), tomb, true, register.OK},
		{"view older than the move", holding(5, 4, moving), 5, view(old, 2), rec, true, register.OtherList},
		{"view newer than the voter", holding(5, 2, old), 5, view(moving, 4), rec, true, register.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := register.Accept{Ballot: ballot(test.ballot), View: test.view, Record: test.record}
			after, a := register.OnAccept(test.register, m, test.holds)
			assert.Equal(t, test.want, a.Status)
			want := test.register
			if test.want == register.OK {
				want.Accepted, want.Record, want.Held = m.Ballot, &m.Record, !m.Record.Deleted
				assert.Nil(t, a.Record, "the coordinator has it")
			} else {
				assert.Equal(t, want.Record, a.Record)
			}
			assert.Equal(t, want, after)
			assert.Equal(t, want.Promised, a.Promised)
			assert.Equal(t, want.Accepted, a.Accepted)
			assert.Equal(t, want.Held, a.Held)
		})
	}
}

func TestOnCreate(t *testing.T) {
	fast := filestore.Ballot{Counter: 3, Machine: id(1), Fast: true}
	rec := filestore.Record{Name: registerName, Voters: voters(0, 1, 2)}
	for _, test := range []struct {
		name      string
		register  filestore.Register
		ballot    filestore.Ballot
		knowledge register.Knowledge
		holds     bool
		want      register.Status
	}{
		{"a new name", filestore.Register{}, fast, register.Authoritative, true, register.OK},
		{"promised to another", promised(2), fast, register.Authoritative, true, register.Outbid},
		{"promised by a fast ballot", filestore.Register{Promised: fast}, fast, register.Authoritative, true, register.Outbid},
		{"there is a record", holding(2, 2, voters(0, 1, 2)), fast, register.Authoritative, true, register.Outbid},
		{"no fast ballot", filestore.Register{}, ballot(3), register.Authoritative, true, register.Outbid},
		{"it may have missed the name", filestore.Register{}, fast, register.Ignorant, true, register.DontKnow},
		{"without the content", filestore.Register{}, fast, register.Authoritative, false, register.NoContent},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := register.Accept{Ballot: test.ballot, View: view(rec.Voters, 0), Record: rec}
			after, a := register.OnCreate(test.register, m, test.knowledge, test.holds)
			assert.Equal(t, test.want, a.Status)
			if test.want != register.OK {
				assert.Equal(t, test.register, after)
				return
			}
			assert.Equal(t, filestore.Register{Promised: fast, Accepted: fast, Record: &rec, Held: true}, after)
		})
	}
}

// A message that comes twice is answered alike, whatever was promised between.
func TestOnAcceptRepeated(t *testing.T) {
	for _, later := range []uint64{5, 9} {
		r := holding(later, 5, voters(1, 2, 3))
		m := register.Accept{Ballot: ballot(5), View: view(joint(ids(0, 1, 2), ids(1, 2, 3)), 4), Record: *r.Record}
		after, a := register.OnAccept(r, m, false)
		assert.Equal(t, r, after)
		assert.Equal(t, register.OK, a.Status)
		assert.Equal(t, ballot(5), a.Accepted)
		r.Held = false // its content has been lost since
		after, a = register.OnAccept(r, m, false)
		assert.Equal(t, r, after)
		assert.Equal(t, register.NoContent, a.Status)
		after, a = register.OnAccept(r, m, true)
		assert.True(t, after.Held)
		assert.True(t, a.Held)
		assert.Equal(t, register.OK, a.Status)
	}
}

// A voter that says that it has accepted a record, but does not have its content, does
// not count.
func TestAnAcceptanceWithoutTheContent(t *testing.T) {
	r := register.NewRound(registerName, ballot(9), view(voters(0, 1, 2), 4), register.Task{})
	assert.Equal(t, register.Wait, r.OnPromise(id(0), promise(4, record(voters(0, 1, 2), 3))))
	assert.Equal(t, register.Propose, r.OnPromise(id(1), promise(4, record(voters(0, 1, 2), 3))))
	assert.Equal(t, register.Wait, accepts(t, r, 0))
	assert.Equal(t, register.Wait, r.OnAccepted(id(1), register.Answer{Status: register.OK, Accepted: ballot(9)}))
	assert.Equal(t, register.Chosen, accepts(t, r, 2))
}

// A voter that missed a record does not help to choose the next one, but is
// given it.
func TestIgnorantVoterCatchesUp(t *testing.T) {
	r := register.NewRound(registerName, ballot(9), view(voters(0, 1, 2), 4), register.Task{})
	msg, _ := r.Prepare()
	late, a := register.OnPrepare(id(2), filestore.Register{}, msg, register.Ignorant)
	assert.Equal(t, register.Wait, r.OnPromise(id(2), a))
	assert.Equal(t, register.Wait, r.OnPromise(id(0), promise(4, record(voters(0, 1, 2), 3))))
	assert.Equal(t, register.Propose, r.OnPromise(id(1), promise(4, record(voters(0, 1, 2), 3))))
	acc, _ := r.Accept()
	late, a = register.OnAccept(late, acc, true)
	assert.Equal(t, ballot(9), late.Accepted)
	assert.Equal(t, register.Wait, r.OnAccepted(id(2), a))
	assert.Equal(t, register.Chosen, accepts(t, r, 0))
}

func TestOnRead(t *testing.T) {
	known := holding(5, 4, voters(0, 1, 2))
	for _, test := range []struct {
		name      string
		register  filestore.Register
		knowledge register.Knowledge
		want      register.Status
	}{
		{"record", known, register.Authoritative, register.OK},
		{"record, ignorant of others", known, register.Ignorant, register.OK},
		{"none", promised(3), register.Authoritative, register.OK},
		{"none, ignorant", promised(3), register.Ignorant, register.DontKnow},
		{"none, missed", promised(3), register.Missed, register.DontKnow},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, register.Answer{
				Status: test.want, Promised: test.register.Promised, Accepted: test.register.Accepted,
				Record: test.register.Record, Held: test.register.Held,
			}, register.OnRead(test.register, test.knowledge))
		})
	}
}

// Whatever comes in whatever order: a voter takes back no promise, and accepts
// nothing that it did not promise.
func TestVoterNeverGoesBack(t *testing.T) {
	lists := []filestore.Voters{voters(0, 1, 2), joint(ids(0, 1, 2), ids(1, 2, 3)), voters(1, 2, 3)}
	rapid.Check(t, func(t *rapid.T) {
		var r filestore.Register
		offered := map[filestore.Ballot]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "messages") {
			b := ballot(rapid.Uint64Range(1, 6).Draw(t, "ballot"))
			v := view(rapid.SampledFrom(lists).Draw(t, "voters"), rapid.Uint64Range(0, 6).Draw(t, "basis"))
			before := r
			if rapid.Bool().Draw(t, "prepare") {
				var a register.Answer
				r, a = register.OnPrepare(id(3), r, register.Prepare{Ballot: b, View: v}, register.Authoritative)
				offered[b] = offered[b] || a.Status == register.OK
			} else {
				rec := filestore.Record{Voters: rapid.SampledFrom(lists).Draw(t, "next voters")}
				r, _ = register.OnAccept(r, register.Accept{Ballot: b, View: v, Record: rec}, true)
			}
			if r.Promised.Compare(before.Promised) < 0 || r.Accepted.Compare(before.Accepted) < 0 {
				t.Fatalf("went back from %v to %v", before, r)
			}
			if r.Accepted.Compare(r.Promised) > 0 || r.Record != nil && !offered[r.Accepted] {
				t.Fatalf("accepted %v, promised %v", r.Accepted, r.Promised)
			}
		}
	})
}
