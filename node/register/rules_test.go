package register_test

import (
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// rules are what the simulated machines obey. The sound ones are the
// package's own functions; a mutant bends one of them.
type rules struct {
	prepare func(filestore.MachineID, filestore.Register, register.Prepare, register.Knowledge) (filestore.Register, register.Answer)
	// forgotten comes before prepare.
	forgotten func(uint64, filestore.Register, register.Prepare) (register.Answer, bool)
	accept    func(filestore.Register, register.Accept, bool) (filestore.Register, register.Answer)
	create    func(filestore.Register, register.Accept, register.Knowledge, bool) (filestore.Register, register.Answer)
	learn     func(filestore.MachineID, filestore.Register, filestore.Ballot, filestore.Record) filestore.Register
	// late reports that a version which loses its name is stored beside it only
	// after it has lost it, where somebody still has it.
	late bool
	// propose may alter what a round is about to have accepted.
	propose func(*register.Accept)
	// hear may alter what a one-round read under a view is told.
	hear func(register.View, register.Answer) register.Answer
	// early reports whether an operation is answered without any Accept.
	// applied: this very round carried it out, none before it.
	early func(op *operation, result filestore.Result, applied bool) bool
}

func soundRules() rules {
	return rules{
		prepare:   register.OnPrepare,
		forgotten: register.Forgotten,
		accept:    register.OnAccept,
		create:    register.OnCreate,
		learn:     register.OnChosen,
		propose:   func(*register.Accept) {},
		hear:      func(_ register.View, a register.Answer) register.Answer { return a },
		early:     func(*operation, filestore.Result, bool) bool { return false },
	}
}
