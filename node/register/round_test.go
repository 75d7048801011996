package register_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

var (
	before = ids(0, 1, 2)
	after  = ids(2, 3, 4)
	moving = joint(before, after)
)

// record is one that was accepted under v, with count changes behind it.
func record(v filestore.Voters, count int) *filestore.Record {
	rec := &filestore.Record{Name: registerName, Voters: v, Changes: uint64(count), Size: int64(count)}
	for i := max(0, count-filestore.HistoryLen); i < count; i++ {
		rec.History = append(rec.History, filestore.Change{Op: filestore.OpID{byte(i)}, Result: filestore.ResultStored})
	}
	return rec
}

// promise is a voter's consent that shows what it had accepted.
func promise(at uint64, rec *filestore.Record) register.Answer {
	a := register.Answer{Status: register.OK, Record: rec}
	if rec != nil {
		a.Accepted = ballot(at)
	}
	return a
}

// change sets the size, and notes what it was given.
func change(op byte, base uint64, given **filestore.Record) register.Task {
	return register.Task{Change: &register.Change{
		Op: filestore.OpID{op}, Base: base,
		Apply: func(cur *filestore.Record) (filestore.Record, filestore.Result) {
			if given != nil {
				*given = cur
			}
			return filestore.Record{Size: 99}, filestore.ResultDeleted
		},
	}}
}

// promises feeds the same promise from machines; all but the last must leave
// the round waiting.
func promises(t *testing.T, r *register.Round, a register.Answer, from ...int) register.Next {
	t.Helper()
	next := register.Wait
	for _, n := range from {
		require.Equal(t, register.Wait, next, "before machine %d", n)
		next = r.OnPromise(id(n), a)
	}
	return next
}

func accepts(t *testing.T, r *register.Round, from ...int) register.Next {
	t.Helper()
	next := register.Wait
	for _, n := range from {
		require.Equal(t, register.Wait, next, "before machine %d", n)
		next = r.OnAccepted(id(n), register.Answer{Status: register.OK, Accepted: ballot(9), Held: true})
	}
	return next
}

func newRound(v register.View, task register.Task) *register.Round {
	return register.NewRound(registerName, ballot(9), v, task)
}

func TestRoundTakesTheGreatestAccepted(t *testing.T) {
	var given *filestore.Record
	r := newRound(view(voters(0, 1, 2), 2), change(200, 3, &given))
	msg, to := r.Prepare()
	assert.Equal(t, register.Prepare{Name: registerName, Ballot: ballot(9), View: view(voters(0, 1, 2), 2)}, msg)
	assert.Equal(t, before, to)

	newest, older := record(voters(0, 1, 2), 4), record(voters(0, 1, 2), 3)
	require.Equal(t, register.Wait, r.OnPromise(id(2), promise(2, older)))
	require.Equal(t, register.Wait, r.OnPromise(id(2), promise(2, older)), "the same voter again")
	require.Equal(t, register.Wait, r.OnPromise(id(6), promise(2, older)), "no voter")
	require.Equal(t, register.Propose, r.OnPromise(id(1), promise(5, newest)))
	assert.Equal(t, newest, given)

	rec, result := r.Proposal()
	assert.Equal(t, filestore.ResultDeleted, result)
	want := filestore.Record{Name: registerName, Voters: voters(0, 1, 2), Size: 99, Changes: 5,
		History: append(record(voters(), 4).History, filestore.Change{Op: filestore.OpID{200}, Result: filestore.ResultDeleted})}
	assert.Equal(t, want, rec)
	assert.Equal(t, record(voters(0, 1, 2), 4), newest, "the voter's record is not touched")

	acc, to := r.Accept()
	assert.Equal(t, register.Accept{Ballot: ballot(9), View: view(voters(0, 1, 2), 2), Record: want}, acc)
	assert.Equal(t, before, to)
	for n := range 3 {
		assert.Equal(t, register.Wait, r.OnPromise(id(n), promise(5, newest)), "too late to count")
	}
	assert.Empty(t, r.Acceptors())
	assert.Equal(t, register.Chosen, accepts(t, r, 0, 2))
	assert.Equal(t, register.Chosen, r.OnAccepted(id(1), register.Answer{Status: register.Outbid}), "chosen it stays")
	assert.ElementsMatch(t, ids(0, 2), r.Acceptors())
	assert.Equal(t, view(voters(0, 1, 2), 9), r.ChosenView())
	assert.True(t, r.Moved())
}

func TestRoundCreates(t *testing.T) {
	given := record(voters(), 1)
	r := newRound(view(voters(0, 1, 2), 0), change(200, 0, &given))
	require.Equal(t, register.Propose, promises(t, r, promise(0, nil), 0, 1))
	assert.Nil(t, given)
	rec, _ := r.Proposal()
	assert.Equal(t, uint64(1), rec.Changes)
	assert.Equal(t, voters(0, 1, 2), rec.Voters)
}

// What a round with nothing to change does, and what it does when nobody has
// the record that its view stems from.
func TestRoundWithoutRecord(t *testing.T) {
	for _, test := range []struct {
		name  string
		basis uint64
		task  register.Task
		want  register.Next
	}{
		{"keep", 0, register.Task{}, register.Absent},
		{"move", 0, register.Task{Target: ids(0, 1, 2)}, register.Absent},
		{"keep what was seen", 4, register.Task{}, register.Again},
		{"change what was seen", 4, change(200, 0, nil), register.Again},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRound(view(voters(0, 1, 2), test.basis), test.task)
			assert.Equal(t, test.want, promises(t, r, promise(0, nil), 0, 1))
		})
	}
}

// A change that comes to nothing is proposed to nobody.
func TestRoundWithoutAResult(t *testing.T) {
	task := register.Task{Change: &register.Change{Op: filestore.OpID{200}, Apply: func(cur *filestore.Record) (filestore.Record, filestore.Result) { return *cur, 0 }}}
	r := newRound(view(voters(0, 1, 2), 4), task)
	assert.Equal(t, register.Absent, promises(t, r, promise(4, record(voters(0, 1, 2), 4)), 0, 1))
}

func TestRoundKnowsARetry(t *testing.T) {
	newest := record(voters(0, 1, 2), 20)
	done := newest.History[2]
	newest.History[2].Result = filestore.ResultExists
	r := newRound(view(voters(0, 1, 2), 2), change(done.Op[0], 0, nil))
	require.Equal(t, register.Propose, promises(t, r, promise(5, newest), 0, 1))
	rec, result := r.Proposal()
	assert.Equal(t, filestore.ResultExists, result)
	assert.Equal(t, *newest, rec, "accepted anew as it is")
}

func TestRoundForgetsAfterTheHistory(t *testing.T) {
	const count = 20
	for _, test := range []struct {
		base uint64
		want register.Next
	}{
		{count, register.Propose},
		{count + 1, register.Propose}, // told of a change that a later round did not see
		{count - filestore.HistoryLen, register.Propose},
		{count - filestore.HistoryLen - 1, register.Unknown},
		{0, register.Unknown},
	} {
		r := newRound(view(voters(0, 1, 2), 2), change(200, test.base, nil))
		assert.Equal(t, test.want, promises(t, r, promise(5, record(voters(0, 1, 2), count)), 0, 1), "base %d", test.base)
		if test.want == register.Propose {
			rec, _ := r.Proposal()
			assert.Len(t, rec.History, filestore.HistoryLen)
			assert.Equal(t, filestore.OpID{count - filestore.HistoryLen + 1}, rec.History[0].Op)
			assert.Equal(t, filestore.OpID{200}, rec.History[filestore.HistoryLen-1].Op)
		}
	}
}

func TestRoundBeginsAMove(t *testing.T) {
	r := newRound(view(voters(0, 1, 2), 2), register.Task{Target: after})
	msg, to := r.Prepare()
	assert.Equal(t, after, msg.Joining)
	assert.Equal(t, moving.All(), to)
	rec := record(voters(0, 1, 2), 3)
	require.Equal(t, register.Wait, promises(t, r, promise(2, rec), 0, 1), "old ones alone")
	require.Equal(t, register.Wait, promises(t, r, promise(0, nil), 3))
	require.Equal(t, register.Propose, promises(t, r, promise(0, nil), 4))

	got, _ := r.Proposal()
	want := *rec
	want.Voters = moving
	assert.Equal(t, want, got)
	acc, to := r.Accept()
	assert.Equal(t, view(voters(0, 1, 2), 2), acc.View)
	assert.Equal(t, moving.All(), to)
	require.Equal(t, register.Wait, accepts(t, r, 2, 3, 4), "new ones alone")
	require.Equal(t, register.Chosen, accepts(t, r, 0))
	assert.False(t, r.Moved())
	assert.Equal(t, register.View{Voters: moving, Basis: ballot(9)}, r.ChosenView())
}

func TestRoundDropsTheOldList(t *testing.T) {
	at5, at4 := promise(5, record(moving, 3)), promise(4, record(voters(0, 1, 2), 3))
	other := promise(5, record(joint(before, ids(2, 3, 5)), 3))
	none := promise(0, nil)
	for _, test := range []struct {
		name     string
		promises []register.Answer // of machines 0, 1, 3 and 4
		want     filestore.Voters
	}{
		{"accepted by a majority of each", []register.Answer{at5, at5, at5, at5}, voters(2, 3, 4)},
		{"not by the new", []register.Answer{at5, at5, none, at5}, moving},
		{"not by the old", []register.Answer{at4, at5, at5, at5}, moving},
		{"under two ballots", []register.Answer{at5, promise(6, record(moving, 3)), at5, at5}, moving},
		{"another joint list", []register.Answer{other, other, other, other}, moving},
		{"nowhere", []register.Answer{at4, at4, none, none}, moving},
	} {
		for _, task := range []register.Task{{}, {Target: after}, {Target: ids(0, 5, 6)}, change(200, 3, nil)} {
			r := newRound(register.View{Voters: moving, Basis: ballot(5)}, task)
			msg, to := r.Prepare()
			assert.Empty(t, msg.Joining, "a second move waits")
			assert.Equal(t, moving.All(), to)
			for i, from := range []int{0, 1, 3} {
				require.Equal(t, register.Wait, r.OnPromise(id(from), test.promises[i]), test.name)
			}
			require.Equal(t, register.Propose, r.OnPromise(id(4), test.promises[3]), test.name)
			rec, _ := r.Proposal()
			assert.Equal(t, test.want, rec.Voters, test.name)
			_, to = r.Accept()
			assert.Equal(t, moving.All(), to, "the old ones hear of it")
		}
	}
}

func TestRoundNeedsTheNewListOnceTheOldIsDropped(t *testing.T) {
	for _, test := range []struct {
		target []filestore.MachineID
		moved  bool
	}{{nil, true}, {after, true}, {ids(4, 3, 2), true}, {ids(3, 4, 5), false}} {
		r := newRound(register.View{Voters: moving, Basis: ballot(5)}, register.Task{Target: test.target})
		require.Equal(t, register.Propose, promises(t, r, promise(5, record(moving, 3)), 0, 1, 3, 4))
		require.Equal(t, register.Wait, accepts(t, r, 0), "no voter any more")
		require.Equal(t, register.Wait, accepts(t, r, 3))
		require.Equal(t, register.Chosen, accepts(t, r, 4))
		assert.Equal(t, test.moved, r.Moved(), "%v", test.target)
	}
}

func TestRoundGivesUp(t *testing.T) {
	outbid := func(n uint64) register.Answer { return register.Answer{Status: register.Outbid, Promised: ballot(n)} }
	moved := register.Answer{Status: register.OtherList, Promised: ballot(12), Accepted: ballot(7), Record: record(moving, 3)}
	older := register.Answer{Status: register.OtherList, Promised: ballot(3), Accepted: ballot(3), Record: record(voters(4, 5, 6), 3)}
	for _, phase := range []struct {
		name string
		on   func(*register.Round, filestore.MachineID, register.Answer) register.Next
	}{
		{"prepare", (*register.Round).OnPromise},
		{"accept", (*register.Round).OnAccepted},
	} {
		t.Run(phase.name, func(t *testing.T) {
			begin := func() *register.Round {
				r := newRound(view(voters(0, 1, 2), 4), register.Task{})
				if phase.name == "accept" {
					require.Equal(t, register.Propose, promises(t, r, promise(4, record(voters(0, 1, 2), 3)), 0, 1))
				}
				return r
			}
			r := begin()
			require.Equal(t, register.Wait, phase.on(r, id(0), outbid(11)), "two can still do it")
			require.Equal(t, register.Wait, phase.on(r, id(0), outbid(10)), "the same voter again")
			require.Equal(t, register.Again, phase.on(r, id(1), moved))
			assert.Equal(t, ballot(12), r.Outbid())
			assert.Equal(t, register.View{Voters: moving, Basis: ballot(7)}, r.Learned())

			r = begin()
			require.Equal(t, register.Wait, phase.on(r, id(0), older))
			require.Equal(t, register.Again, r.OnSilence(id(2)))
			assert.Equal(t, view(voters(0, 1, 2), 4), r.Learned(), "nothing newer was heard of")

			for _, s := range []register.Status{register.DontKnow, register.NoContent} {
				r = begin()
				require.Equal(t, register.Wait, phase.on(r, id(0), register.Answer{Status: s}))
				require.Equal(t, register.Again, phase.on(r, id(1), register.Answer{Status: s}))
				assert.True(t, r.Outbid().IsZero())
			}
		})
	}
}

// Acceptances before the proposal answer nothing that was asked.
func TestRoundIgnoresEarlyAcceptances(t *testing.T) {
	r := newRound(view(voters(0, 1, 2), 4), register.Task{})
	assert.Equal(t, register.Wait, accepts(t, r, 0, 1, 2))
	assert.False(t, r.Moved())
}
