package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// journal is a table before which there is a journal. A commit of the table below
// takes two syncs and writes whole pages; here it takes one sync, of no more than the
// changes, and they go into the table below many at a time. Small content never does.
//
// The journal has two files, which take turns. Generation n is in file n%2, and is
//
//	active    from when its head is durable: commits are appended to it;
//	frozen    from when the next one is active: it is read and not written;
//	applied   when the table below has all of it, and says so in the same commit.
//
// At any instant one generation is active and at most one frozen, the one before. So
// beside a table that has applied generation n there are n+1 and perhaps n+2, and
// anything else is damage: a journal that is lost, or one of another time. (That n+2 is
// lost cannot be told from that it never was.) A key's value is that in the active generation, else that in the frozen one, else that in
// the table.
//
// Content that is still needed when its generation is to be applied is appended to the
// active one again: that which has come while others were made durable.
type journal struct {
	inner table
	files [2]editable
	turn  chan struct{} // holds one token while somebody appends, or begins a generation
	buf   []byte        // of whoever has the turn
	step  int           // changes that the table applies in one commit

	mu     sync.RWMutex
	active *generation
	frozen *generation // nil: none
	stuck  bool        // the table had no room for what is frozen
}

// keyApplied is the key of the last generation that the table has.
var keyApplied = []byte{prefixStore, 'j'}

// checkpointStep is how many changes the table below applies at a time: in a large one
// each may be on a page of its own, and a commit must not take too long.
const checkpointStep = 2048

// keepRecord is up to which size the memory of a record is kept for the next one.
const keepRecord = 1 << 20

func journalFile(n uint64) string { return fmt.Sprintf("journal-%d", n%2) }

// openJournal opens the journal of a table, or begins one where there is none yet.
// errDamagedTable: one that should be there is not, or is not whole.
func openJournal(d Disk, inner table) (opened *journal, err error) {
	j := &journal{inner: inner, turn: make(chan struct{}, 1), step: checkpointStep}
	defer func() {
		if err != nil {
			opened, err = nil, errors.Join(err, j.closeFiles())
		}
	}()
	value, err := inner.get(keyApplied)
	if err != nil {
		return nil, err
	}
	var applied uint64
	if value != nil {
		if len(value) != 8 {
			return nil, fmt.Errorf("%w: number of the journal", errDamagedTable)
		}
		applied = binary.BigEndian.Uint64(value)
	}
	var there [2]*generation // applied+1 and applied+2
	var in [2][]byte
	for n := range j.files {
		if j.files[n], err = d.edit(journalFile(uint64(n))); err != nil {
			return nil, err
		}
		g, file, err := readGeneration(j.files[n])
		if err != nil {
			return nil, err
		}
		if g == nil || g.number <= applied {
			continue
		}
		if g.number > applied+2 || g.number%2 != uint64(n) {
			return nil, fmt.Errorf("%w: generation %d of the journal, and the table is at %d", errDamagedTable, g.number, applied)
		}
		there[g.number-applied-1], in[g.number-applied-1] = g, file
	}
	if there[0] == nil {
		if value != nil || there[1] != nil {
			return nil, fmt.Errorf("%w: generation %d of the journal is lost", errDamagedTable, applied+1)
		}
		err := orGiveBack(d, func() (err error) {
			there[0], err = beginGeneration(applied+1, j.files[(applied+1)%2])
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for i, g := range there {
		if g == nil {
			continue
		}
		if err := g.replay(in[i]); err != nil {
			return nil, err
		}
		g.read = in[i][:min(g.end, int64(len(in[i])))]
		j.frozen, j.active = j.active, g
	}
	if err := orGiveBack(d, j.active.clear); err != nil {
		return nil, err
	}
	if value != nil {
		return j, nil
	}
	if err := d.syncDir("."); err != nil {
		return nil, err
	}
	return j, inner.apply([]write{{keyApplied, make([]byte, 8)}})
}

// sync makes what was replayed durable, which may only have been on its way to the disk.
// A commit does it as well.
func (j *journal) sync() error { return j.active.file.syncData() }

func (j *journal) close() error { return errors.Join(j.inner.close(), j.closeFiles()) }

func (j *journal) closeFiles() error {
	var errs []error
	for _, f := range j.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// take waits for the turn. Call leave once.
func (j *journal) take() (leave func()) {
	j.turn <- struct{}{}
	return func() { <-j.turn }
}

// generations returns those that count before the table, the first first.
func (j *journal) generations() []*generation {
	if j.frozen == nil {
		return []*generation{j.active}
	}
	return []*generation{j.active, j.frozen}
}

// started gives back what a start has read.
func (j *journal) started() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, g := range j.generations() {
		g.read = nil
	}
}

// size returns how many bytes the active generation has, without content that it has
// taken over, and whether the table finds no room for what was frozen before.
func (j *journal) size() (bytes int64, stuck bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.active.end - j.active.carried - journalStart, j.stuck
}

func (j *journal) get(key []byte) ([]byte, error) {
	j.mu.RLock()
	var found *change
	var from *generation
	for _, g := range j.generations() {
		if found = g.get(key); found != nil {
			from = g
			break
		}
	}
	j.mu.RUnlock()
	switch {
	case found == nil:
		return j.inner.get(key)
	case found.content.size > 0:
		return j.content(from, found.content)
	}
	return bytes.Clone(found.value), nil
}

// content reads content; nil: it has left the journal meanwhile.
func (j *journal) content(g *generation, at extent) ([]byte, error) {
	j.mu.RLock()
	known := g.read
	j.mu.RUnlock()
	if at.at+int64(at.size) <= int64(len(known)) {
		return bytes.Clone(known[at.at:][:at.size]), nil
	}
	value := make([]byte, at.size)
	_, err := g.file.ReadAt(value, at.at)
	j.mu.RLock()
	defer j.mu.RUnlock()
	if g != j.active && g != j.frozen {
		return nil, nil
	}
	return value, err
}

// page lists no content but what a former version has left in the table.
func (j *journal) page(after []byte, n int) ([]pair, error) {
	var out []pair
	for {
		// The changes first: they may be on their way into the table.
		over, more := j.changesAfter(after, n)
		base, err := j.inner.page(after, n)
		if err != nil {
			return nil, err
		}
		var known []byte // up to which key both are complete; nil: to the end
		if len(base) == n {
			known = base[n-1].key
		}
		if more && (known == nil || bytes.Compare(over[len(over)-1].key, known) < 0) {
			known = over[len(over)-1].key
		}
		out = append(out, merge(base, over, known)...)
		if known == nil || len(out) >= n {
			return out[:min(n, len(out))], nil
		}
		after = known
	}
}

// changesAfter returns up to n changes of what is listed, in order, the first behind
// after, and whether there may be more.
func (j *journal) changesAfter(after []byte, n int) (_ []*change, more bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	var all changes
	for _, g := range j.generations() {
		page := g.page(after, n)
		more = more || len(page) == n
		for _, c := range page {
			if all.get(c.key) == nil { // else a later one counts
				all.put(c)
			}
		}
	}
	return all[:min(n, len(all))], more || len(all) > n
}

// apply keeps the keys and values: nobody may change them any more.
func (j *journal) apply(writes []write) error {
	defer j.take()()
	return j.append(writes)
}

// append makes writes durable in the active generation. The caller has the turn.
func (j *journal) append(writes []write) error {
	if len(writes) == 0 {
		return nil
	}
	g := j.active
	record, all := g.encode(j.buf[:0], writes)
	if j.buf = record; cap(record) > keepRecord {
		j.buf = nil
	}
	if err := g.save(record); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	g.end += int64(len(record))
	for _, c := range all {
		g.put(c)
	}
	return nil
}

// freeze begins the next generation, unless one is frozen or the active one is empty.
func (j *journal) freeze() error {
	defer j.take()()
	g := j.active
	if j.frozen != nil || g.end == journalStart {
		return nil
	}
	next, err := beginGeneration(g.number+1, j.files[(g.number+1)%2])
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active, j.frozen = next, g
	return nil
}

// forget leaves out content, but for what is to be kept: it has a durable file now, or
// is needed no more.
func (j *journal) forget(keep func(key []byte) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, g := range j.generations() {
		g.changes = slices.DeleteFunc(g.changes, func(c *change) bool { return c.content.size > 0 && !keep(c.key) })
	}
}

// checkpoint has the table below apply the frozen generation, if there is one: step by
// step, as what is applied and still frozen, or replayed, is the same. One at a time, and
// not while somebody freezes. When it fails with ErrNoSpace it can be tried again.
func (j *journal) checkpoint() error {
	g := j.frozen
	if g == nil {
		return nil
	}
	if err := j.carry(g); err != nil {
		return err
	}
	var writes []write
	for _, c := range g.changes {
		if c.content.size == 0 {
			writes = append(writes, write{c.key, c.value})
		}
	}
	writes = append(writes, write{keyApplied, binary.BigEndian.AppendUint64(nil, g.number)}) // the last
	for step := range slices.Chunk(writes, j.step) {
		if err := j.inner.apply(step); err != nil {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.stuck = errors.Is(err, ErrNoSpace)
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.frozen, j.stuck = nil, false
	return nil
}

// carry appends the content that is left in g to the active generation.
func (j *journal) carry(g *generation) error {
	defer j.take()()
	var writes []write
	for _, c := range g.changes {
		if c.content.size == 0 || j.active.get(c.key) != nil {
			continue
		}
		value, err := j.content(g, c.content)
		if err != nil {
			return err
		}
		writes = append(writes, write{c.key, value})
	}
	before := j.active.end
	if err := j.append(writes); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active.carried += j.active.end - before
	return nil
}
