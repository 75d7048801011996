package register_test

import (
	"bytes"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node/register"
)

// lineage is an onlooker who sees every disk: it knows what is chosen, whether
// or not anybody was told, and that each chosen record follows from the one
// before it.
type lineage struct {
	acceptors map[filestore.Ballot]map[filestore.MachineID]bool
	chosen    map[filestore.Ballot]bool
	changes   []byte // the longest chosen one: operations in their order
}

// accepted notes that a machine has a record on its disk.
func (l *lineage) accepted(w *world, by filestore.MachineID, at filestore.Ballot, rec *filestore.Record) {
	if l.acceptors == nil {
		l.acceptors = map[filestore.Ballot]map[filestore.MachineID]bool{}
		l.chosen = map[filestore.Ballot]bool{}
	}
	if l.acceptors[at] == nil {
		l.acceptors[at] = map[filestore.MachineID]bool{}
	}
	l.acceptors[at][by] = true
	if l.chosen[at] || !register.IsChosen(rec.Voters, at, func(m filestore.MachineID) bool { return l.acceptors[at][m] }) {
		return
	}
	l.chosen[at] = true
	w.logf("chosen: %v", at)
	if w.forks == nil {
		l.extend(w, rec)
	}
}

// extend checks a chosen record against those chosen before.
func (l *lineage) extend(w *world, rec *filestore.Record) {
	longer, shorter := rec.Signature, l.changes
	if len(longer) < len(shorter) {
		longer, shorter = shorter, longer
	}
	if !bytes.HasPrefix(longer, shorter) {
		w.fault("two lineages were chosen: %v and %v", l.changes, rec.Signature)
	}
	l.changes = longer
	for i, op := range rec.Signature {
		if bytes.IndexByte(rec.Signature[i+1:], op) >= 0 {
			w.fault("operation %d was applied twice: %v", op, rec.Signature)
		}
	}
	if uint64(len(rec.Signature)) != rec.Changes {
		w.fault("%d changes are counted as %d", len(rec.Signature), rec.Changes)
	}
}

// claim checks that what a round calls chosen is.
func (l *lineage) claim(w *world, at filestore.Ballot) {
	if !l.chosen[at] {
		w.fault("%v is not chosen", at)
	}
}
