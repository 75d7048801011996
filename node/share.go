package node

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
)

// sharing lets those who save one content at the same time have it sent once. One
// of them, the leader, reads it from a holder. The others follow: they read the
// leader's file, chunk by chunk up to where it is complete, and write their own.
//
// A follower trusts that file no more than a holder: it hashes what it reads, as
// everybody who saves does, and gets from a holder what is wrong. So its own file is
// the content, whatever became of the leader's meanwhile. It has one chunk in memory.
//
// Nothing that ends the leader's save is an error of a follower. It reads what there
// is, and looks for a leader again. The first one to get there leads, and the others
// follow it, as its file begins with the same chunks.
//
// A follower goes on alone, by the holders and with no part in all this, where the
// leader has found no holder, where its file cannot be read or is on a disk that holds
// the follower up, and where the follower has more of the content, from an earlier
// attempt.
//
// A leader's file is closed before its save returns, as its owner may then run it, or
// unmount what it is on. Only who waits for the last chunk, or reads one, is waited
// for: most followers are that close behind. Those further behind look for a leader
// again, and so get the rest from a holder once more.
type sharing struct {
	mu      sync.Mutex
	leaders map[contentID]*leader
}

// contentID is what two records of the same content have in common.
type contentID struct {
	sum, root filestore.Hash
	size      int64
}

// leader is a save whose file others may read. All but the file belongs to sharing.mu.
type leader struct {
	file  Target
	users sync.WaitGroup // followers that wait for a chunk or read one; none comes once it has ended

	begun   bool
	ended   bool
	failed  bool             // for want of a holder
	next    int64            // the file has the chunks before this one
	hashes  []filestore.Hash // of all chunks; set when it begins, nil where there is no list
	from    []string         // nodes that the chunks came from
	writing time.Time        // since when a chunk is being written, or what was there before is read; zero: neither
	wrote   time.Duration    // that it took to write the others
	changed chan struct{}    // closed at the next change; nil: nobody waits
}

// The disk of a leader's file holds a follower up when, for so long, writing to it
// took more than half of the time, and more than twice what the follower took, or when
// reading one chunk takes so long.
const patienceWithLeader = 2 * time.Second

// saver is one save: it leads, follows, or has no part in the sharing. It is used by
// one goroutine.
type saver struct {
	all  *sharing
	pull *pull
	file Target
	lead *leader // that it follows
	uses bool    // it is among the users of lead
	own  *leader // it leads, or has led
	buf  []byte

	wrote time.Duration // that it took to write its own file
	since time.Time     // what follows is of this time
	mine  time.Duration // wrote
	its   time.Duration // lead.wrote
}

// join begins to save what p pulls in a file, which the saver takes over. The file may
// have the chunks before the next already. Who reads from a holder already goes on so:
// a source gives out its chunks one after the other, and none can be left out.
func (s *sharing) join(p *pull, file Target) *saver {
	v := &saver{all: s, pull: p, file: file}
	if p.next < p.last && p.current == nil && !p.node.store.Holds(p.record.Name, p.record.SHA256) {
		v.follow()
	}
	return v
}

// leave ends the save with what became of it.
func (v *saver) leave(err error) {
	v.stopFollowing()
	if v.own != nil {
		_, target := errors.AsType[*TargetError](err)
		v.tell(func(l *leader) {
			l.ended = true
			l.failed = err != nil && !target && v.pull.ctx.Err() == nil
			delete(v.all.leaders, v.contentID())
		})
		v.own.users.Wait()
	}
	_ = v.file.Close()
}

func (v *saver) contentID() contentID {
	return contentID{v.pull.record.SHA256, v.pull.record.Root, v.pull.record.Size}
}

// follow finds a leader that has, or may get, the next chunk. Where there is none it
// leads.
func (v *saver) follow() {
	s, id := v.all, v.contentID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leaders[id]; l != nil {
		v.lead, v.since, v.mine, v.its = l, time.Now(), v.wrote, l.wrote
		return
	}
	v.own = &leader{file: v.file}
	if s.leaders == nil {
		s.leaders = map[contentID]*leader{}
	}
	s.leaders[id] = v.own
}

// stopFollowing ends the use of a leader's file.
func (v *saver) stopFollowing() {
	l := v.lead
	if l == nil {
		return
	}
	v.letGo()
	v.lead = nil
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	for _, label := range l.from {
		if !slices.Contains(v.pull.from, label) {
			v.pull.from = append(v.pull.from, label)
		}
	}
}

// letGo tells the leader that its file is not used for now.
func (v *saver) letGo() {
	if v.uses {
		v.uses = false
		v.lead.users.Done()
	}
}

// tell changes what others see of a save that leads, and wakes those who wait.
func (v *saver) tell(change func(*leader)) {
	if v.own == nil {
		return
	}
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	change(v.own)
	if v.own.changed != nil {
		close(v.own.changed)
		v.own.changed = nil
	}
}

// begin tells that the file has the chunks before the next, and is being added to.
func (v *saver) begin() { v.tell(v.progress) }

func (v *saver) progress(l *leader) {
	l.begun, l.next, l.hashes, l.from = true, v.pull.next, v.pull.hashes, v.pull.from
	l.writing, l.wrote = time.Time{}, v.wrote
}

// chunk returns the next chunk, out of the leader's file or from a holder.
func (v *saver) chunk() ([]byte, error) {
	for v.await() {
		raw, err := v.read()
		if err == nil {
			return raw, nil
		}
		v.pull.node.log.Info("the file of another fetch of the same content cannot be read", "name", v.pull.record.Name, "err", err)
		v.stopFollowing()
	}
	return v.pull.chunk()
}

// write adds the chunk before the next to the file.
func (v *saver) write(raw []byte) error {
	start := time.Now()
	v.isWriting(start)
	if _, err := v.file.Write(raw); err != nil {
		return err
	}
	v.wrote += time.Since(start)
	v.tell(v.progress)
	return nil
}

// isWriting tells nobody who waits: it is for those who look after a while.
func (v *saver) isWriting(since time.Time) {
	if v.own != nil {
		v.all.mu.Lock()
		defer v.all.mu.Unlock()
		v.own.writing = since
	}
}

// await waits until the leader's file has the next chunk, and stays open until letGo.
// False: nobody is followed any more, or the fetch has ended.
func (v *saver) await() bool {
	for v.lead != nil && v.pull.ctx.Err() == nil {
		state, changed := v.look()
		switch state {
		case chunkThere:
			return true
		case followAnother:
			v.stopFollowing()
			v.follow()
		case goAlone:
			v.stopFollowing()
		case chunkToCome:
			select {
			case <-changed:
			case <-v.pull.ctx.Done():
			case <-time.After(patienceWithLeader):
			}
		}
	}
	v.letGo()
	return false
}

// outlook is what a follower can expect of its leader.
type outlook int

const (
	chunkToCome   outlook = iota // the next one
	chunkThere                   // in the leader's file
	followAnother                // or lead
	goAlone
)

// look reports what is to be expected, and what is closed when that changes.
func (v *saver) look() (outlook, <-chan struct{}) {
	v.all.mu.Lock()
	defer v.all.mu.Unlock()
	l, next := v.lead, v.pull.next
	if !v.uses && !l.ended {
		l.users.Add(1)
		v.uses = true
	}
	switch {
	case v.uses && l.next > next:
		if l.hashes != nil {
			v.pull.hashes = l.hashes
		}
		return chunkThere, nil
	case l.failed:
		return goAlone, nil
	case l.ended:
		return followAnother, nil
	case l.begun && l.next < next, v.heldUp():
		return goAlone, nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return chunkToCome, l.changed
}

// heldUp reports whether the disk of the leader's file holds this save up.
func (v *saver) heldUp() bool {
	passed := time.Since(v.since)
	if passed < patienceWithLeader {
		return false
	}
	its, mine := v.lead.wrote-v.its, v.wrote-v.mine
	if !v.lead.writing.IsZero() {
		its += time.Since(v.lead.writing)
	}
	v.since, v.mine, v.its = time.Now(), v.wrote, v.lead.wrote
	return its > passed/2 && its > 2*mine
}

// read reads the next chunk out of the leader's file, which await has kept open. The
// leader does not wait for a read that was given up: an os.File that is closed keeps its
// descriptor until that ends.
func (v *saver) read() ([]byte, error) {
	defer v.letGo()
	at := v.pull.next * filestore.ChunkSize
	n := min(filestore.ChunkSize, v.pull.record.Size-at)
	if v.buf == nil {
		v.buf = make([]byte, n)
	}
	from, buf := v.lead.file, v.buf[:n]
	_, givenUp, err := patiently(v.pull, patienceWithLeader, func() (int, error) { return from.ReadAt(buf, at) }, func(int, error) {})
	if givenUp {
		v.buf = nil // it is written to when the disk answers
	}
	if err != nil {
		return nil, fmt.Errorf("chunk %d: %w", v.pull.next, err)
	}
	v.pull.next++
	return buf, nil
}
