package register_test

import (
	"slices"
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
				require.Equal(t, register.Wait, r.OnAccepted(id(0), register.Answer{Held: true}))
				require.Equal(t, register.Chosen, r.OnAccepted(id(1), register.Answer{Held: true}))
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

// newVacancy plans that all machines which know the name are away, for longer than
// it takes those in their place to find that nobody knows its range. Then they come
// back.
func newVacancy(w *world) *forks {
	f := &forks{w: w, side: make([]bool, len(w.machines)), vacancy: true}
	begin := w.Int64N(400)
	back := begin + splitFor
	for _, m := range w.machines[:len(w.first)] {
		w.after(begin, m.crash)
		w.after(back+w.Int64N(300), func() { m.up = true })
	}
	for _, m := range w.machines[len(w.first):] {
		group := ids(3, 4, 5)
		if w.IntN(4) == 0 { // rings are seen differently
			group = ids(3, 4, 6)
		}
		w.after(begin+w.Int64N(200), func() { m.place(group) })
		if w.IntN(8) > 0 { // else it has not noticed
			w.after(begin+takeOverAfter+w.Int64N(400), func() { m.knowledge = register.Vacant })
		}
		w.after(back+w.Int64N(600), func() {
			m.knowledge = register.Ignorant
			m.place(w.first)
		})
	}
	return f
}

// place tells a machine of the name's group, of which it knows no more.
func (m *machine) place(group []filestore.MachineID) {
	m.ring = group
	m.view = register.View{Voters: filestore.Voters{New: group}}
}

// chosen counts the records that were created where nobody knew the name.
func (f *forks) chosen(rec *filestore.Record) {
	if f != nil && f.vacancy && rec.Forced && len(rec.History) == 1 {
		f.created++
	}
}

// checkNotMissed checks that nobody was told that the name is not there before
// somebody else had begun to delete it.
func (w *world) checkNotMissed() {
	for _, o := range w.ops {
		missed := o.kind == get && o.value == 0 || o.kind == remove && o.result == filestore.ResultNotFound
		if o.known && missed && !slices.ContainsFunc(w.ops, func(other *operation) bool {
			return other != o && other.kind == remove && other.called < o.returned
		}) {
			w.fault("%v was told that there is none", o)
		}
	}
}

func TestSimulateVacancy(t *testing.T) {
	t.Parallel()
	var runs, ops, created, beside int
	for seed := range seedsOf(t, 400, 1) {
		w := simulate(seed, soundRules(), vacancy, tracer(t))
		require.Empty(t, w.faults, "seed %d; see its steps with %s=%d go test -v -run '^%s$'", seed, seedVariable, seed, t.Name())
		runs++
		ops += len(w.ops)
		created += w.forks.created
		beside += len(w.beside)
	}
	t.Logf("%d seeds: %d operations, %d times created, %d versions stored beside the name", runs, ops, created, beside)
	if runs >= 100 {
		require.Greater(t, created, runs/10, "it is created")
		require.Greater(t, beside, runs/10, "there are conflicts")
	}
}
