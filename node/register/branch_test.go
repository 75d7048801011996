package register_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// branch n is some branch, and seen that a record has seen it so far.
func branch(n byte) filestore.Branch { return filestore.Branch{n} }

func seen(n byte, upTo uint64) filestore.Seen {
	return filestore.Seen{Branch: branch(n), UpTo: ballot(upTo)}
}

// inBranch is a record that an operation left in a branch, with what led to it.
func inBranch(n byte, op byte, before []byte, s ...filestore.Seen) *filestore.Record {
	rec := &filestore.Record{Name: registerName, Op: filestore.OpID{op}, Size: int64(op), SHA256: filestore.Hash{op}}
	rec.Voters, rec.Branch, rec.Seen = voters(0, 1, 2), branch(n), s
	for _, op := range append(before, op) {
		rec.History = append(rec.History, filestore.Change{Op: filestore.OpID{op}, Result: filestore.ResultStored})
	}
	rec.Changes = uint64(len(rec.History))
	return rec
}

func TestSupersedes(t *testing.T) {
	const at = 5
	for _, test := range []struct {
		name      string
		next, old *filestore.Record
		want      bool
	}{
		{"the same branch", inBranch(1, 20, nil), inBranch(1, 10, nil), true},
		{"another branch", inBranch(2, 20, nil), inBranch(1, 10, nil), false},
		{"another branch, and the same operation", inBranch(2, 10, nil), inBranch(1, 10, nil), true},
		{"another branch, and it remembers the operation", inBranch(2, 20, []byte{10}), inBranch(1, 10, nil), true},
		{"another branch that it has seen", inBranch(2, 20, nil, seen(1, at)), inBranch(1, 10, nil), true},
		{"another branch that it has not seen so far", inBranch(2, 20, nil, seen(1, at-1)), inBranch(1, 10, nil), false},
		{"the same branch, what was seen there is", inBranch(1, 20, nil, seen(3, 4)), inBranch(1, 10, nil, seen(3, 4)), true},
		{"the same branch, what was seen there is not", inBranch(1, 20, nil), inBranch(1, 10, nil, seen(3, 4)), false},
		{"the same branch, less was seen of another", inBranch(1, 20, nil, seen(3, 3)), inBranch(1, 10, nil, seen(3, 4)), false},
		{"a branch that it has seen, what was seen there is not", inBranch(2, 20, nil, seen(1, at)), inBranch(1, 10, nil, seen(3, 4)), false},
		{"a branch that it has seen, which had seen its own", inBranch(2, 20, nil, seen(1, at)), inBranch(1, 10, nil, seen(2, 4)), true},
		{"what was seen there is not, but it remembers the operation", inBranch(1, 20, []byte{10}), inBranch(1, 10, nil, seen(3, 4)), true},
	} {
		assert.Equal(t, test.want, register.Supersedes(test.next, test.old, ballot(at)), test.name)
	}
}

// A voter gives up another branch's version for a record that takes account of it.
// When that is not chosen, and the branch goes on without it, the version must not be
// lost with it.
func TestWhatAnUnchosenRecordTookAccountOf(t *testing.T) {
	merged := inBranch(1, 30, []byte{10}, seen(2, 4)) // the value is the other branch's
	voter := filestore.Register{Promised: ballot(9), Accepted: ballot(5), Record: merged, Held: true}
	list := view(voters(0, 1, 2), 3)
	list.Branch = branch(1)

	r := register.NewRound(registerName, ballot(9), list, register.Task{})
	without := inBranch(1, 20, []byte{10})
	require.Equal(t, register.Propose, promises(t, r, promise(6, without), 0, 1))
	m, _ := r.Accept()
	after, a := register.OnAccept(voter, m, true)
	assert.Equal(t, voter, after)
	require.Equal(t, register.Conflict, a.Status)
	require.Equal(t, register.Wait, r.OnAccepted(id(2), a))

	r = register.NewRound(registerName, ballot(10), list, register.Task{Met: r.Met()})
	require.Equal(t, register.Wait, r.OnPromise(id(0), promise(6, without)))
	require.Equal(t, register.Clash, r.OnPromise(id(1), promise(6, without)))
	require.Len(t, r.Clashes(), 1)
	assert.Equal(t, merged.Op, r.Clashes()[0].Record.Op)

	kept := []filestore.OpID{merged.Op}
	r = register.NewRound(registerName, ballot(11), list, register.Task{Met: r.Met(), Kept: kept})
	require.Equal(t, register.Propose, promises(t, r, promise(6, without), 0, 1))
	voter.Promised = ballot(11)
	m, _ = r.Accept()
	assert.Equal(t, without.Op, m.Record.Op)
	assert.Equal(t, kept, m.Record.Conflicts)
	_, a = register.OnAccept(voter, m, true)
	assert.Equal(t, register.OK, a.Status)
}

// The counter of a branch may be far behind that of another, where the client saw it.
// An operation that is carried out there and then forgotten is not carried out again.
func TestAnOperationIsForgottenWithTheCounterBeyondItsBase(t *testing.T) {
	const base = 40
	list := view(voters(0, 1, 2), 3)
	list.Branch = branch(1)
	r := register.NewRound(registerName, ballot(9), list, change(200, base, nil))
	require.Equal(t, register.Propose, promises(t, r, promise(3, inBranch(1, 1, nil)), 0, 1))
	rec, _ := r.Proposal()
	assert.Equal(t, uint64(base+1), rec.Changes)

	for counter := uint64(10); rec.Remembers(filestore.OpID{200}); counter++ {
		list.Basis = ballot(counter - 1)
		r = register.NewRound(registerName, ballot(counter), list, change(byte(counter), rec.Changes, nil))
		require.Equal(t, register.Propose, promises(t, r, promise(counter-1, rec.Clone()), 0, 1))
		rec, _ = r.Proposal()
	}
	r = register.NewRound(registerName, ballot(99), list, change(200, base, nil))
	assert.Equal(t, register.Unknown, promises(t, r, promise(98, &rec), 0, 1))
}

// A machine that had a vote, and needs it still, must not be all that ever heard of a
// take-over: its old list would have no majority without it, and in the new one nobody
// would know what it is about.
func TestATakeOverThatNobodyAcceptsIsHarmless(t *testing.T) {
	before, after := ids(0, 2, 3), ids(1, 5)
	moving := record(joint(before, after), 2)
	registers := map[filestore.MachineID]filestore.Register{id(5): {}}
	for _, m := range ids(0, 1, 2, 3) {
		registers[m] = filestore.Register{Promised: ballot(7), Accepted: ballot(7), Record: moving, Held: true}
	}
	prepare := func(r *register.Round, from ...filestore.MachineID) (next register.Next) {
		m, to := r.Prepare()
		for _, self := range from {
			if slices.Contains(to, self) && next == register.Wait {
				var a register.Answer
				registers[self], a = register.OnPrepare(self, registers[self], m, register.Ignorant)
				next = r.OnPromise(self, a)
			}
		}
		return next
	}
	accept := func(r *register.Round, from ...filestore.MachineID) (next register.Next) {
		m, to := r.Accept()
		for _, self := range from {
			if slices.Contains(to, self) && next == register.Wait {
				var a register.Answer
				registers[self], a = register.OnAccept(registers[self], m, true)
				next = r.OnAccepted(self, a)
			}
		}
		return next
	}
	list := view(moving.Voters, 7)
	r := register.NewRound(registerName, ballot(8), list, register.Task{Target: before, Force: true})
	require.Equal(t, register.Propose, prepare(r, ids(5, 0, 3)...))
	require.Equal(t, register.Wait, accept(r, id(5)), "the others have promised a greater ballot")

	r = register.NewRound(registerName, ballot(9), list, register.Task{})
	all := ids(0, 1, 2, 3, 5)
	require.Equal(t, register.Propose, prepare(r, all...))
	assert.Equal(t, register.Chosen, accept(r, all...))
}

// Before a name was deleted and forgotten, and created again in one round, its ballots
// were greater. A machine that missed it all and joins the voters does not bring back
// what it had.
func TestAMachineFromAnEarlierLifeOfTheName(t *testing.T) {
	list := register.View{Voters: voters(0, 1, 2)}
	r := register.NewRound(registerName, ballot(50), list, storing(7))
	require.Equal(t, register.Propose, promises(t, r, promise(0, nil), 0, 1))
	old, _ := r.Proposal()
	registers := map[filestore.MachineID]filestore.Register{id(3): register.OnChosen(id(3), filestore.Register{}, ballot(50), old)}

	r = register.NewRound(registerName, filestore.Ballot{Counter: 60, Machine: id(1), Fast: true}, list, storing(9))
	m, to, ok := r.Create()
	require.True(t, ok)
	next := register.Wait
	for _, self := range to {
		require.Equal(t, register.Wait, next)
		var a register.Answer
		registers[self], a = register.OnCreate(filestore.Register{}, m, register.Authoritative, true)
		next = r.OnAccepted(self, a)
	}
	require.Equal(t, register.Chosen, next)

	move := register.NewRound(registerName, ballot(70), r.ChosenView(), register.Task{Target: ids(1, 2, 3)})
	p, _ := move.Prepare()
	next = register.Wait
	for _, self := range ids(3, 0, 1) {
		require.Equal(t, register.Wait, next)
		_, a := register.OnPrepare(self, registers[self], p, register.Ignorant)
		next = move.OnPromise(self, a)
	}
	require.Equal(t, register.Propose, next)
	rec, _ := move.Proposal()
	assert.Equal(t, int64(9), rec.Size)
}

// A take-over goes on from what a machine without a vote has kept. It gives way to
// news: who refuses it with a later record has heard of what came after.
func TestATakeOverFromWhatWasKept(t *testing.T) {
	list := register.View{Voters: voters(0, 1, 2)}
	r := register.NewRound(registerName, ballot(50), list, storing(7))
	require.Equal(t, register.Propose, promises(t, r, promise(0, nil), 0, 1))
	kept, _ := r.Proposal()
	old := view(kept.Voters, 50)
	old.Branch = kept.Branch
	task := register.Task{Target: ids(4, 5), Force: true, Known: register.Met{From: id(3), Record: &kept, At: ballot(50)}}

	r = register.NewRound(registerName, ballot(60), old, task)
	_, to := r.Prepare()
	assert.NotContains(t, to, id(3), "it decides nothing")
	require.Equal(t, register.Wait, r.OnPromise(id(4), promise(0, nil)))
	require.Equal(t, register.Propose, r.OnPromise(id(5), promise(0, nil)))
	rec, _ := r.Proposal()
	assert.Equal(t, kept.Op, rec.Op)
	assert.True(t, rec.Forced)
	assert.ElementsMatch(t, ids(4, 5), rec.Voters.New)
	assert.Equal(t, []filestore.Seen{{Branch: kept.Branch, UpTo: ballot(50)}}, rec.Seen)
	after := kept // in the branch before, by voters that were away
	after.Op = filestore.OpID{9}
	assert.True(t, register.Supersedes(&rec, &after, ballot(49)))
	assert.False(t, register.Supersedes(&rec, &after, ballot(51)))
	assert.True(t, register.Parted(&rec, &after, ballot(51)))
	assert.False(t, register.Parted(&rec, &after, ballot(50)))

	later := kept
	later.Voters = voters(6, 7, 8)
	r = register.NewRound(registerName, ballot(60), old, task)
	next := r.OnPromise(id(0), register.Answer{Status: register.OtherList, Accepted: ballot(55), Record: &later})
	for _, m := range ids(4, 5) {
		if next == register.Wait {
			next = r.OnPromise(m, promise(0, nil))
		}
	}
	assert.Equal(t, register.Again, next)
	assert.Equal(t, later.Voters, r.Learned().Voters)
}
