package node

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
)

// sink is one place where content is staged: this node's store or another's.
// It is used by one goroutine.
type sink interface {
	write(c transfer.Chunk) error // does not keep the chunk
	seal(rec filestore.Record) error
	abort()
}

// stagedFor is how long content that arrived and was never accepted is kept.
// A coordinator needs it for seconds; one that died needs it no more.
const stagedFor = 10 * time.Minute

// stagedSet remembers sealed content until a register accepts it or it is too old,
// and what came of content that broke off.
type stagedSet struct {
	mu   sync.Mutex
	list []stagedItem
}

type stagedItem struct {
	stage *filestore.Stage
	name  string
	sum   filestore.Hash
	until time.Time
	part  bool // it broke off: sum is not known
}

func (s *stagedSet) add(stage *filestore.Stage, rec *filestore.Record) {
	s.settle(rec.Name, rec.SHA256) // an earlier attempt's copy is not needed beside this one
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, stagedItem{stage: stage, name: rec.Name, sum: rec.SHA256, until: time.Now().Add(stagedFor)})
}

// settle forgets the content of a record that was accepted, and parts of the name's.
func (s *stagedSet) settle(name string, sum filestore.Hash) {
	s.discard(func(i stagedItem) bool { return i.name == name && (i.part || i.sum == sum) })
}

// sweep discards what is too old.
func (s *stagedSet) sweep(now time.Time) {
	s.discard(func(i stagedItem) bool { return now.After(i.until) })
}

// discard reports whether there was something to be discarded.
func (s *stagedSet) discard(which func(stagedItem) bool) bool {
	var out []*filestore.Stage
	s.mu.Lock()
	kept := s.list[:0]
	for _, i := range s.list {
		if which(i) {
			out = append(out, i.stage)
		} else {
			kept = append(kept, i)
		}
	}
	clear(s.list[len(kept):])
	s.list = kept
	s.mu.Unlock()
	for _, stage := range out {
		stage.Discard()
	}
	return len(out) > 0
}

// runSweep discards staged content that nobody came back for.
func (n *Node) runSweep(ctx context.Context) error {
	tick := time.NewTicker(stagedFor / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			n.staged.dropParts()
			return nil
		case now := <-tick.C:
			n.staged.sweep(now)
		}
	}
}

// localSink stages in this node's own store.
type localSink struct {
	node  *Node
	stage *filestore.Stage
	view  func(transfer.Chunk, []byte) ([]byte, error) // of the decoder: with or without a check
	raw   []byte                                       // where compressed chunks are decoded
	name  string
	known known // what the stage began with
}

func (n *Node) stageHere(name string, size int64) (*localSink, error) {
	l := &localSink{node: n, view: n.coding.decode.View, name: name}
	if resumable(size) {
		if l.stage = n.staged.take(name); l.stage != nil {
			l.known.have = l.stage.Chunks()
			err := n.makeRoom(func() error { return l.stage.Reserve(size) })
			if err != nil {
				l.stage.Discard()
			}
			return l, err
		}
	}
	var err error
	l.stage, err = n.newStage(name, size)
	return l, err
}

// newStage begins to stage content.
func (n *Node) newStage(name string, size int64) (stage *filestore.Stage, err error) {
	err = n.makeRoom(func() error {
		stage, err = n.store.Stage(name, size)
		return err
	})
	return stage, err
}

// makeRoom gives up what broke off where there is no room beside it for what is asked.
func (n *Node) makeRoom(ask func() error) error {
	err := ask()
	if errors.Is(err, filestore.ErrNoSpace) && n.staged.dropParts() {
		err = ask()
	}
	return err
}

func (l *localSink) write(c transfer.Chunk) error {
	if there, err := l.part(c); there || err != nil {
		return err
	}
	raw, err := l.view(c, l.raw)
	if err != nil {
		return err
	}
	if c.Flags&transfer.FlagZstd != 0 {
		l.raw = raw
	}
	return l.stage.WriteChunk(raw, c.Sum)
}

func (l *localSink) seal(rec filestore.Record) error {
	var err error
	if l.known.next < len(l.known.have) { // what was left is longer
		err = l.cut(l.known.next)
	}
	if err == nil {
		err = l.stage.Seal(rec)
	}
	if err != nil {
		l.stage.Discard()
		return err
	}
	l.node.staged.add(l.stage, &rec)
	return nil
}

func (l *localSink) abort() {
	if !l.node.staged.keep(l.stage, l.name) {
		l.stage.Discard()
	}
}

// remoteSink stages at another node.
type remoteSink struct {
	stream *transfer.Stream
	known  known // what the node has already
}

func (n *Node) stageAt(ctx context.Context, m MachineID, name string, size int64) (*remoteSink, error) {
	h := stageHeader{Name: name, Size: size, Resume: resumable(size)}
	s, err := n.net.Open(ctx, n.members.peer(m), streamStage, h)
	if err != nil {
		return nil, err
	}
	r := &remoteSink{stream: s}
	if h.Resume {
		if err := r.known.askPart(s); err != nil {
			s.Abort(ErrInterrupted)
			return nil, err
		}
	}
	return r, nil
}

func (r *remoteSink) write(c transfer.Chunk) error { return r.known.send(r.stream, c) }

func (r *remoteSink) seal(rec filestore.Record) error {
	if err := r.stream.EndChunks(); err != nil {
		return err
	}
	if err := r.stream.Send(stageTrailer{Record: rec}); err != nil {
		return err
	}
	var reply stageReply
	if err := r.stream.Receive(&reply); err != nil {
		return err
	}
	return r.stream.Close()
}

func (r *remoteSink) abort() { r.stream.Abort(ErrInterrupted) }

// onStage receives content from a coordinator and makes it durable.
func (n *Node) onStage(ctx context.Context, h stageHeader, from MachineID, s *transfer.Stream) error {
	if n.state.leaving.Load() {
		return ErrLeaving
	}
	l, err := n.stageHere(h.Name, h.Size)
	if err != nil {
		return err
	}
	if h.Resume {
		err = tellPart(s, l.known.have)
	}
	if err == nil {
		err = receiveChunks(s, l.write)
	}
	if err != nil {
		l.abort()
		return err
	}
	var t stageTrailer
	err = s.Receive(&t)
	if err == nil {
		err = n.checkPublished(ctx, &t.Record, from)
	}
	if err != nil {
		l.abort()
		return err
	}
	if err := l.seal(t.Record); err != nil {
		return err
	}
	return s.Send(stageReply{})
}

// receiveChunks hands over the chunks of a stream until their end.
func receiveChunks(s *transfer.Stream, take func(transfer.Chunk) error) error {
	for {
		c, err := s.ReadChunk()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = take(c)
		c.Release()
		if err != nil {
			return err
		}
	}
}
