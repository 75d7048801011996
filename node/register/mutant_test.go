package register_test

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/internal/bubble"
	"github.com/dhtfs/dhtfs/node/register"
)

// mutantSeeds bounds the search for a seed that finds a mutant out. Fewer are
// never enough for all of them; the search ends at the first.
const mutantSeeds = 4000

// Each mutant leaves out one rule of the protocol. That the simulation finds
// it out shows that the rule is needed, and that the simulation can fail.
var mutants = []struct {
	name string
	by   scenario
	bend func(*rules)
}{
	{"accept without the promise", moves, noPromise},
	{"accept without the promise, creating", creation, noPromise},
	{"voter does not compare lists", moves, func(r *rules) {
		r.prepare = func(self filestore.MachineID, reg filestore.Register, m register.Prepare, k register.Knowledge) (filestore.Register, register.Answer) {
			m.View.Basis = greatestBallot
			return register.OnPrepare(self, reg, m, k)
		}
		r.accept = func(reg filestore.Register, m register.Accept, holds bool) (filestore.Register, register.Answer) {
			m.View.Basis = greatestBallot
			return register.OnAccept(reg, m, holds)
		}
	}},
	{"voter without authority says that there is none", moves, func(r *rules) {
		r.prepare = func(self filestore.MachineID, reg filestore.Register, m register.Prepare, _ register.Knowledge) (filestore.Register, register.Answer) {
			return register.OnPrepare(self, reg, m, register.Authoritative)
		}
	}},
	{"voter of a vacant range says that there is none", vacancy, func(r *rules) {
		r.prepare = func(self filestore.MachineID, reg filestore.Register, m register.Prepare, k register.Knowledge) (filestore.Register, register.Answer) {
			if k == register.Vacant {
				k = register.Authoritative
			}
			return register.OnPrepare(self, reg, m, k)
		}
	}},
	{"reader does not compare lists", moves, func(r *rules) {
		r.hear = func(v register.View, a register.Answer) register.Answer {
			if a.Record != nil {
				a.Record = a.Record.Clone()
				a.Record.Voters = v.Voters
			}
			return a
		}
	}},
	{"voters move in one step", moves, func(r *rules) {
		r.propose = func(m *register.Accept) {
			if !m.View.Voters.Joint() {
				m.Record.Voters.Old = nil
			}
		}
	}},
	{"old list dropped unseen", moves, func(r *rules) {
		r.propose = func(m *register.Accept) {
			if m.View.Voters.Joint() {
				m.Record.Voters.Old = nil
			}
		}
	}},
	{"no history", moves, func(r *rules) {
		r.propose = func(m *register.Accept) { m.Record.History = nil }
	}},
	{"history shorter than a late retry is measured by", moves, func(r *rules) {
		r.propose = func(m *register.Accept) {
			h := m.Record.History
			m.Record.History = h[max(0, len(h)-2):]
		}
	}},
	{"failed precondition not remembered", moves, func(r *rules) {
		r.propose = func(m *register.Accept) {
			h := m.Record.History
			if n := len(h) - 1; n >= 0 && refused(h[n].Result) {
				m.Record.History = h[:n]
			}
		}
	}},
	{"failed precondition answered at once", moves, func(r *rules) {
		r.early = func(_ *operation, result filestore.Result, applied bool) bool {
			return applied && refused(result)
		}
	}},
	{"retry answered at once", moves, func(r *rules) {
		r.early = func(o *operation, _ filestore.Result, applied bool) bool { return o.kind != get && !applied }
	}},
	{"half accepted value read without finishing it", moves, func(r *rules) {
		r.early = func(o *operation, _ filestore.Result, _ bool) bool { return o.kind == get }
	}},
	{"version given up that nothing takes account of", splits, func(r *rules) {
		r.accept = func(reg filestore.Register, m register.Accept, holds bool) (filestore.Register, register.Answer) {
			held := reg.Held
			reg.Held = false
			after, a := register.OnAccept(reg, m, holds)
			if a.Status != register.OK {
				after.Held = held
			}
			return after, a
		}
	}},
	{"version stored beside the name after it has lost it", splits, func(r *rules) { r.late = true }},
	{"take-over that begins no branch", splits, func(r *rules) {
		r.propose = func(m *register.Accept) { m.Record.Branch, m.Record.Seen = filestore.Branch{}, nil }
	}},
	{"take-over accepted without the promise", splits, func(r *rules) {
		r.accept = func(reg filestore.Register, m register.Accept, holds bool) (filestore.Register, register.Answer) {
			if m.Record.Forced && m.Ballot.Compare(reg.Accepted) > 0 {
				reg.Promised = m.Ballot
			}
			return register.OnAccept(reg, m, holds)
		}
	}},
}

var greatestBallot = filestore.Ballot{Counter: math.MaxUint64}

func refused(r filestore.Result) bool {
	return r == filestore.ResultExists || r == filestore.ResultNotFound
}

// noPromise has a voter accept whatever is newer than what it has.
func noPromise(r *rules) {
	r.accept = func(reg filestore.Register, m register.Accept, holds bool) (filestore.Register, register.Answer) {
		if m.Ballot.Compare(reg.Accepted) > 0 {
			reg.Promised = m.Ballot
		}
		return register.OnAccept(reg, m, holds)
	}
}

func TestSimulationFindsMutants(t *testing.T) {
	t.Parallel()
	if bubble.RaceDetector {
		t.Skip("the plain run finds them; there is no goroutine in them for the race detector")
	}
	for _, mutant := range mutants {
		t.Run(mutant.name, func(t *testing.T) {
			t.Parallel()
			r := soundRules()
			mutant.bend(&r)
			for seed := range seedsOf(t, mutantSeeds, mutantSeeds) {
				if w := simulate(seed, r, mutant.by, tracer(t)); len(w.faults) > 0 {
					t.Logf("seed %d: %s", seed, w.faults[0])
					return
				}
			}
			require.NotEmpty(t, os.Getenv(seedVariable), "no seed finds this mutant out")
		})
	}
}
