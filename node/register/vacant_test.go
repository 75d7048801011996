package register_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// storing is the change that stores one size, unless the name is taken.
func storing(size int64) register.Task {
	return register.Task{Change: &register.Change{
		Op: filestore.OpID{byte(size)},
		Apply: func(cur *filestore.Record) (filestore.Record, filestore.Result) {
			if cur != nil {
				return *cur, filestore.ResultExists
			}
			return filestore.Record{Size: size}, filestore.ResultStored
		},
	}}
}

// vacantAnswer is that of a voter of a range that nobody there knows.
func vacantAnswer(r *register.Round) register.Answer {
	m, _ := r.Prepare()
	_, a := register.OnPrepare(id(0), filestore.Register{}, m, register.Vacant)
	return a
}

// Where nobody knows a range any more, a name can be stored once everybody has
// been asked, and nothing else: nobody is told that there is none.
func TestAVacantRange(t *testing.T) {
	list := voters(0, 1, 2)
	ignorant := register.Answer{Status: register.DontKnow}
	nothing := promise(0, nil)
	deletes := register.Task{Change: &register.Change{Op: filestore.OpID{9}, Apply: func(*filestore.Record) (filestore.Record, filestore.Result) {
		return filestore.Record{Deleted: true}, filestore.ResultNotFound
	}}}
	for _, test := range []struct {
		name    string
		task    register.Task
		vacant  int // that answer so; the last voter, if they are two:
		last    func(r *register.Round) register.Next
		outcome register.Next
	}{
		{"all vacant", storing(7), 3, nil, register.Propose},
		{"one silent", storing(7), 2, func(r *register.Round) register.Next { return r.OnSilence(id(2)) }, register.Propose},
		{"one ignorant", storing(7), 2, func(r *register.Round) register.Next { return r.OnPromise(id(2), ignorant) }, register.Propose},
		{"one knows that there is none", storing(7), 2, func(r *register.Round) register.Next { return r.OnPromise(id(2), nothing) }, register.Propose},
		{"one has it", storing(7), 2, func(r *register.Round) register.Next { return r.OnPromise(id(2), promise(3, record(list, 1))) }, register.Again},
		{"a delete", deletes, 3, nil, register.Again},
		{"a read", register.Task{}, 3, nil, register.Again},
		{"a move", register.Task{Target: ids(0, 1, 3)}, 3, nil, register.Again},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := register.NewRound(registerName, ballot(5), register.View{Voters: list}, test.task)
			step := register.Wait
			for i := range test.vacant {
				require.Equal(t, register.Wait, step, "nothing is decided before all were asked")
				step = r.OnPromise(id(i), vacantAnswer(r))
			}
			if test.last != nil {
				require.Equal(t, register.Wait, step)
				step = test.last(r)
			}
			if test.name == "a move" {
				require.Equal(t, register.Wait, step)
				step = r.OnSilence(id(3))
			}
			require.Equal(t, test.outcome, step)
			if step == register.Propose {
				rec, result := r.Proposal()
				assert.True(t, rec.Forced)
				assert.Equal(t, filestore.ResultStored, result)
				assert.Equal(t, list, rec.Voters)
				other := register.NewRound(registerName, ballot(6), register.View{Voters: list}, test.task)
				require.Equal(t, register.Propose, promises(t, other, promise(0, nil), 0, 1))
				known, _ := other.Proposal()
				assert.NotEqual(t, known.Branch, rec.Branch, "what is stored by those who know is another branch, though its voters are the same")
				require.Equal(t, register.Wait, r.OnAccepted(id(0), register.Answer{}))
				require.Equal(t, register.Chosen, r.OnAccepted(id(1), register.Answer{}))
			}
		})
	}
}

// An ignorant voter lets nothing be created.
func TestIgnoranceIsNoVacancy(t *testing.T) {
	r := register.NewRound(registerName, ballot(5), register.View{Voters: voters(0, 1, 2)}, storing(7))
	ignorant := register.Answer{Status: register.DontKnow}
	require.Equal(t, register.Wait, r.OnPromise(id(0), ignorant))
	require.Equal(t, register.Again, r.OnPromise(id(1), ignorant))
	r = register.NewRound(registerName, ballot(5), register.View{Voters: voters(0, 1, 2)}, storing(7))
	require.Equal(t, register.Wait, r.OnPromise(id(0), vacantAnswer(r)))
	require.Equal(t, register.Wait, r.OnPromise(id(1), ignorant))
	require.Equal(t, register.Again, r.OnPromise(id(2), ignorant), "one vacant voter is no majority")

	m, _ := register.NewRound(registerName, ballot(5), view(voters(0, 1, 2), 4), storing(7)).Prepare()
	_, a := register.OnPrepare(id(0), filestore.Register{}, m, register.Vacant)
	assert.False(t, a.Vacant, "of a name that exists")
}
