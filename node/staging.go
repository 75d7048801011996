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

// stagedSet remembers sealed content until a register accepts it or it is too old.
type stagedSet struct {
	mu   sync.Mutex
	list []stagedItem
}

type stagedItem struct {
	stage *filestore.Stage
	name  string
	sum   filestore.Hash
	until time.Time
}

func (s *stagedSet) add(stage *filestore.Stage, rec *filestore.Record) {
	s.settle(rec.Name, rec.SHA256) // an earlier attempt's copy is not needed beside this one
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, stagedItem{stage, rec.Name, rec.SHA256, time.Now().Add(stagedFor)})
}

// settle forgets the content of a record that was accepted.
func (s *stagedSet) settle(name string, sum filestore.Hash) {
	s.discard(func(i stagedItem) bool { return i.name == name && i.sum == sum })
}

// sweep discards what is too old.
func (s *stagedSet) sweep(now time.Time) {
	s.discard(func(i stagedItem) bool { return now.After(i.until) })
}

func (s *stagedSet) discard(which func(stagedItem) bool) {
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
}

// runSweep discards staged content that nobody came back for.
func (n *Node) runSweep(ctx context.Context) error {
	tick := time.NewTicker(stagedFor / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
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
}

func (n *Node) stageHere(name string, size int64) (*localSink, error) {
	if size <= 0 {
		size = -1
	}
	stage, err := n.store.Stage(name, size)
	if err != nil {
		return nil, err
	}
	return &localSink{node: n, stage: stage, view: n.coding.decode.View}, nil
}

func (l *localSink) write(c transfer.Chunk) error {
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
	if err := l.stage.Seal(rec); err != nil {
		l.stage.Discard()
		return err
	}
	l.node.staged.add(l.stage, &rec)
	return nil
}

func (l *localSink) abort() { l.stage.Discard() }

// remoteSink stages at another node.
type remoteSink struct{ stream *transfer.Stream }

func (n *Node) stageAt(ctx context.Context, m MachineID, name string, size int64) (*remoteSink, error) {
	s, err := n.net.Open(ctx, n.members.peer(m), streamStage, stageHeader{Name: name, Size: size})
	if err != nil {
		return nil, err
	}
	return &remoteSink{s}, nil
}

func (r *remoteSink) write(c transfer.Chunk) error { return r.stream.WriteChunk(c) }

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
	if err := receiveChunks(s, l.write); err != nil {
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
