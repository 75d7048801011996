package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// A store of a large file that breaks off leaves at each machine that staged it
// what had come until then. The next store of that name, at whichever coordinator
// and by whatever operation, begins with it: whoever receives content says first
// which chunks it has, and the sender only names those that are the same at the same
// place. From the first that is not, what was left counts no more. So a wrong guess
// costs nothing but the attempt, and the content is bound by its root as always.
//
// What is left is in a temporary file and known to the running process alone: a
// restart sweeps it. It goes when the name's content is complete, after stagedFor,
// when there are more than maxParts, and when the disk is full.

const (
	resumeLeast = 16 << 20        // bytes of a content from which on its parts are kept
	leastPart   = 4               // chunks that are worth keeping
	maxParts    = 8               // in a node
	mostNamed   = 64 << 10        // chunks of a part that are told of
	partGrace   = 2 * time.Second // for all voters to say what they have
)

// resumable reports whether what is left of a store is worth the question.
func resumable(size int64) bool { return size >= resumeLeast }

// known follows which of the chunks that come the receiver has.
type known struct {
	have   []filestore.Hash
	next   int
	spared int64 // bytes that were not sent
}

// has reports whether the next chunk, whose SHA-256 is sum, need not be sent.
func (k *known) has(sum filestore.Hash) bool {
	i := k.next
	k.next++
	if i < len(k.have) && k.have[i] == sum {
		return true
	}
	k.have = nil
	return false
}

// send passes a chunk on, or only names it.
func (k *known) send(s *transfer.Stream, c transfer.Chunk) error {
	if k.has(c.Sum) {
		k.spared += int64(len(c.Payload))
		return s.WriteChunk(c.Known())
	}
	return s.WriteChunk(c)
}

// askPart reads what the receiver of a stream has.
func (k *known) askPart(s *transfer.Stream) error {
	for {
		var piece stagedPart
		if err := s.Receive(&piece); err != nil {
			return unexpectedEnd(err)
		}
		if more, err := k.learn(piece); !more || err != nil {
			return err
		}
	}
}

// learn takes one piece of what the receiver has, and reports whether there is more.
func (k *known) learn(piece stagedPart) (more bool, err error) {
	k.have = append(k.have, piece.Sums...)
	if len(k.have) > mostNamed || piece.More && len(piece.Sums) == 0 {
		return false, errBadReply
	}
	return piece.More, nil
}

// tellPart says what is here.
func tellPart(s *transfer.Stream, have []filestore.Hash) error {
	for _, piece := range piecesOf(have) {
		if err := s.Send(piece); err != nil {
			return err
		}
	}
	return nil
}

// piecesOf cuts what is told of a part into messages, of which there is at least one.
func piecesOf(have []filestore.Hash) []stagedPart {
	var l []stagedPart
	for sums := range slices.Chunk(have[:min(len(have), mostNamed)], hashesPerMessage) {
		l = append(l, stagedPart{Sums: sums, More: true})
	}
	if len(l) == 0 {
		return []stagedPart{{}}
	}
	l[len(l)-1].More = false
	return l
}

// keep remembers what has come of a content that broke off, and reports whether it
// is worth it.
func (s *stagedSet) keep(stage *filestore.Stage, name string) bool {
	if len(stage.Chunks()) < leastPart || stage.Reserve(0) != nil {
		return false
	}
	s.mu.Lock()
	s.list = append(s.list, stagedItem{stage: stage, name: name, until: time.Now().Add(stagedFor), part: true})
	parts := 0
	for _, i := range s.list {
		if i.part {
			parts++
		}
	}
	s.mu.Unlock()
	s.discard(func(i stagedItem) bool { // the oldest come first
		if !i.part || parts <= maxParts {
			return false
		}
		parts--
		return true
	})
	return true
}

// take returns the part of a name that came last, or nil. It is the caller's.
func (s *stagedSet) take(name string) *filestore.Stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.list) - 1; i >= 0; i-- {
		if it := s.list[i]; it.part && it.name == name {
			s.list = slices.Delete(s.list, i, i+1)
			return it.stage
		}
	}
	return nil
}

// dropParts makes room, if there are any.
func (s *stagedSet) dropParts() bool {
	return s.discard(func(i stagedItem) bool { return i.part })
}

// part makes sure that the stage ends where the next chunk, with this SHA-256, goes,
// and reports whether it is there already.
func (l *localSink) part(c transfer.Chunk) (there bool, err error) {
	at := l.known.next
	left := len(l.known.have) > 0 && at <= len(l.known.have)
	if l.known.has(c.Sum) {
		return true, nil
	}
	if c.Flags == transfer.FlagKnown {
		return false, fmt.Errorf("%w: chunk %d is not here", ErrInterrupted, at)
	}
	if left {
		err = l.cut(at)
	}
	return false, err
}

// cut drops what the stage has from a chunk on.
func (l *localSink) cut(at int) error {
	if len(l.stage.Chunks()) == at {
		return nil
	}
	fresh, err := l.stage.Restart(at)
	if err == nil {
		l.stage = fresh
	}
	return err
}

// common is what all branches have of an earlier attempt: the beginning that whoever
// sends may leave out. It waits for slow ones, but not for long.
func (f *fanout) common(ctx context.Context) []filestore.Hash {
	patience := time.NewTimer(partGrace)
	defer patience.Stop()
	var common []filestore.Hash
	first := true
	for _, b := range f.branches {
		select {
		case <-b.opened:
		case <-b.done:
			continue
		case <-patience.C:
			return nil
		case <-ctx.Done():
			return nil
		}
		if first {
			common, first = b.have, false
			continue
		}
		n := 0
		for n < min(len(common), len(b.have)) && common[n] == b.have[n] {
			n++
		}
		common = common[:n]
	}
	return common
}
