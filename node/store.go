package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/transfer"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

// Store keeps content, read to its end, under a name. OK means that content and
// record are durable on at least W nodes, or on all there are.
//
// A store that failed with ErrUnavailable or ErrInterrupted may be tried again
// with the same Op and Base, and with the content from its beginning; so may
// one that failed with ErrOutcome, to find out whether it happened. Other
// errors: ErrExists (an ExistsError), ErrTooFew with a result, the
// filestore's ErrBadName and ErrNoSpace. All come wrapped in an OpError.
func (n *Node) Store(ctx context.Context, name string, content io.Reader, o StoreOptions) (StoreResult, error) {
	r, err := n.storeFile(ctx, name, content, o)
	if err != nil {
		return r, &OpError{Op: "store", Name: name, Err: err}
	}
	return r, nil
}

func (n *Node) storeFile(ctx context.Context, name string, content io.Reader, o StoreOptions) (StoreResult, error) {
	if err := filestore.ValidateName(name); err != nil {
		return StoreResult{}, err
	}
	if n.state.leaving.Load() {
		return StoreResult{}, ErrLeaving
	}
	if err := n.checkRaised(o); err != nil {
		return StoreResult{}, err
	}
	encoder, err := n.encoder(o.Compress)
	if err != nil {
		return StoreResult{}, err
	}
	h := n.storeHeader(name, o)
	if h.Op == (filestore.OpID{}) || h.IfExists != Replace && !h.isSmall() {
		f, err := n.readFor(ctx, name, 0)
		if err != nil && !errors.Is(err, ErrVacant) {
			return StoreResult{}, err
		}
		if h.Op == (filestore.OpID{}) {
			h.Op, h.Base = NewOp(), f.changes()
		} else if f.confirmed && settledBy(f.record, h.Op, h.Base) {
			return n.answerRetry(ctx, h)
		}
		if there := f.live(); there != nil && there.Op != h.Op && !h.replaces(there) {
			return n.compareStored(ctx, h, content)
		}
	}
	feed := &feed{content: content, encoder: encoder, sign: n.sign, header: &h}
	defer feed.close()
	reply, err := n.sendToCoordinator(ctx, h, feed)
	if err != nil {
		return StoreResult{}, err
	}
	return n.storeResult(h, reply, feed.sent)
}

// storeHeader is what is said of a store before its content.
func (n *Node) storeHeader(name string, o StoreOptions) storeHeader {
	h := storeHeader{
		Name: name, Op: o.Op, Base: o.Base, IfExists: o.IfExists, Version: o.Version, Size: o.Size,
		Replicas: o.Replicas, Quorum: o.Quorum, Mode: uint32(o.Mode.Perm()), Publisher: n.self(),
	}
	if h.Size == 0 && !o.Empty {
		h.Size = -1
	}
	if o.Modified.IsZero() {
		o.Modified = time.Now()
	}
	h.Modified = o.Modified.UnixNano()
	return h
}

// isSmall reports whether finding out what is stored costs as much as sending the
// content to those who know.
func (h *storeHeader) isSmall() bool { return isSmall(h.Size) }

// encoder returns the compressor for a mode. Those that adapt to the link share
// what they learn.
func (n *Node) encoder(mode string) (*transfer.Compressor, error) {
	m, err := transfer.ParseMode(cmp.Or(mode, "auto"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadOption, err)
	}
	if m == transfer.Auto {
		return n.coding.store, nil
	}
	return transfer.NewCompressor(m), nil
}

// NewOp returns a fresh operation ID.
func NewOp() (op filestore.OpID) {
	_, _ = rand.Read(op[:]) // never fails
	return op
}

// settledBy reports whether a record's history says how an operation came out,
// or no longer reaches back to where the operation began. Either way the
// operation is not carried out any more.
func settledBy(rec *filestore.Record, op filestore.OpID, base uint64) bool {
	if rec == nil {
		return false
	}
	return rec.Changes > base && rec.Changes-base > filestore.HistoryLen ||
		slices.ContainsFunc(rec.History, func(c filestore.Change) bool { return c.Op == op })
}

// answerRetry gets the result of a store that an earlier attempt has settled.
func (n *Node) answerRetry(ctx context.Context, h storeHeader) (StoreResult, error) {
	reply, err := n.requestChange(ctx, changeRequest{Name: h.Name, Op: h.Op, Base: h.Base, IfExists: h.IfExists, Copies: h.copies()})
	if err != nil {
		return StoreResult{}, err
	}
	return n.storeResult(h, reply, 0)
}

// compareStored is a store of a name that is taken and not to be replaced: the
// content is only compared with what is there, and goes nowhere. How that comes
// out is remembered under the store's own ID, so that an attempt that is still
// under way somewhere cannot store what was refused here. It may turn out that
// the content is needed after all: then nothing is remembered.
func (n *Node) compareStored(ctx context.Context, h storeHeader, content io.Reader) (StoreResult, error) {
	d := filestore.NewDigest()
	if _, err := io.Copy(d, content); err != nil {
		return StoreResult{}, fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	if err := h.checkSize(d.Size()); err != nil {
		return StoreResult{}, err
	}
	req := changeRequest{
		Name: h.Name, Op: h.Op, Base: h.Base, IfExists: h.IfExists,
		Content: contentTrailer{Size: d.Size(), SHA256: d.SHA256(), Root: d.Root()}, Copies: h.copies(),
	}
	reply, err := n.requestChange(ctx, req)
	if errors.Is(err, ErrNotFound) {
		return StoreResult{}, fmt.Errorf("%w: the file was deleted meanwhile", ErrInterrupted)
	}
	if err != nil {
		return StoreResult{}, err
	}
	return n.storeResult(h, reply, 0)
}

// storeResult is what the publisher makes of the coordinator's reply.
func (n *Node) storeResult(h storeHeader, reply changeReply, sent int64) (StoreResult, error) {
	if reply.Record == nil {
		return StoreResult{}, errBadReply
	}
	r := StoreResult{Record: *reply.Record, Sent: sent, Copies: len(reply.Copies), Want: reply.Want}
	key := chord.KeyOf(h.Name)
	for _, m := range reply.Copies {
		holder := n.holder(m, key)
		holder.State, holder.Voter = Durable, slices.Contains(r.Record.Voters.New, m)
		r.Nodes = append(r.Nodes, holder)
	}
	for _, l := range reply.Lacking {
		r.Lacking = append(r.Lacking, n.lackingOf(l))
	}
	slices.SortFunc(r.Nodes, func(a, b Holder) int { return key.Distance(a.ID).Compare(key.Distance(b.ID)) })
	switch reply.Result {
	case filestore.ResultStored:
		r.Action = Stored
	case filestore.ResultReplaced:
		r.Action = Replaced
	case filestore.ResultIdentical:
		r.Action = Identical
	case filestore.ResultNotFound:
		return r, fmt.Errorf("%w: the file was deleted meanwhile", ErrInterrupted)
	case filestore.ResultExists:
		if h.IfExists != Skip {
			return r, &ExistsError{Record: r.Record}
		}
		r.Action = Skipped
	default:
		return r, errBadReply
	}
	if need := max(h.copies(), n.quorum(len(r.Record.Voters.New))); r.Copies < need && r.Action != Skipped {
		return r, fmt.Errorf("%w: %d of %d", ErrTooFew, r.Copies, need)
	}
	return r, nil
}

// feed is the content of one store on its way into a coordinator: read once,
// cut into chunks, hashed and compressed.
type feed struct {
	content io.Reader
	encoder *transfer.Compressor
	sign    func(*filestore.Record)
	header  *storeHeader
	begun   bool  // some of the content may have been read, and is not at hand
	sent    int64 // bytes after compression
	small   *smallFeed
}

// run passes all chunks to write and returns what the content turned out to be.
func (f *feed) run(ctx context.Context, write func(transfer.Chunk) error) (contentTrailer, error) {
	f.begun = true
	stats, err := f.encoder.EncodeStream(ctx, f.content, write)
	if err != nil {
		return contentTrailer{}, err
	}
	f.sent = stats.Sent
	sums := make([]filestore.Hash, len(stats.Chunks))
	for i, sum := range stats.Chunks {
		sums[i] = sum
	}
	return f.signed(contentTrailer{Size: stats.Size, SHA256: stats.Sum, Root: filestore.RootOf(stats.Size, sums)}), nil
}

// signed adds the publisher's signature of the record that a content makes.
func (f *feed) signed(t contentTrailer) contentTrailer {
	rec := f.header.record(t)
	f.sign(&rec)
	t.Signature = rec.Signature
	return t
}

// sendToCoordinator has a store coordinated: by this node where it is in the
// name's group, else by the first of the group that takes it.
func (n *Node) sendToCoordinator(ctx context.Context, h storeHeader, f *feed) (changeReply, error) {
	candidates, err := n.coordinators(ctx, h.Name)
	if err != nil {
		return changeReply{}, err
	}
	return n.sendToOneOf(ctx, candidates, h, f, &attempts{})
}

// sendToOneOf is sendToCoordinator after some attempts.
func (n *Node) sendToOneOf(ctx context.Context, candidates []MachineID, h storeHeader, f *feed, before *attempts) (changeReply, error) {
	for _, m := range candidates {
		var reply changeReply
		var err error
		if m == n.self() {
			reply, err = n.storeHere(ctx, h, f)
		} else {
			reply, err = n.storeThrough(ctx, m, h, f)
		}
		if err == nil {
			return reply, nil
		}
		if !n.failedAt(m, f, err, before) {
			break
		}
	}
	return changeReply{}, before.failure(f)
}

// attempts are those of one store that have failed.
type attempts struct {
	errs []error
	lost bool // somebody may have begun it
}

// failedAt notes that a coordinator did not bring a store to its end, and reports whether
// another may be asked.
func (n *Node) failedAt(m MachineID, f *feed, err error, a *attempts) bool {
	if m != n.self() {
		a.lost = a.lost || errors.Is(err, ErrInterrupted) || errors.Is(err, context.DeadlineExceeded)
	}
	err = leftRing(err)
	if errors.Is(err, filestore.ErrDegraded) {
		n.members.setDegraded(m)
		if f.begun { // the next attempt goes to another
			err = fmt.Errorf("%w: %w", ErrInterrupted, err)
		}
	}
	a.errs = append(a.errs, err)
	return !f.begun && elsewhere(err)
}

// failure is what becomes of a store after the last attempt.
func (a *attempts) failure(f *feed) error {
	err := errors.Join(a.errs...)
	if !f.begun && !a.lost && elsewhere(a.errs[len(a.errs)-1]) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// storeHere has this node coordinate a store of its own.
func (n *Node) storeHere(ctx context.Context, h storeHeader, f *feed) (changeReply, error) {
	if !h.isSmall() {
		return n.coordinateStore(ctx, h, func(ctx context.Context, to *fanout) (contentTrailer, error) { return f.run(ctx, to.write) })
	}
	c, t, err := f.whole()
	if err != nil {
		return changeReply{}, err
	}
	s := &creation{header: h, chunk: c, trailer: t}
	n.coordinateSmall(ctx, []*creation{s})
	return s.reply, s.err
}

// coordinators are the machines that may coordinate a change, the best first:
// this node, then those that answer, the owner before others.
func (n *Node) coordinators(ctx context.Context, name string) ([]MachineID, error) {
	p, err := n.placeNear(ctx, chord.KeyOf(name))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l := machinesOf(p.group())
	if len(l) == 0 {
		return nil, ErrUnavailable
	}
	cost := func(m MachineID) int {
		switch {
		case m == n.self():
			return 0
		case n.silence.of(m): // the others may well reach it
			return 2
		}
		return 1
	}
	slices.SortStableFunc(l, func(a, b MachineID) int { return cost(a) - cost(b) })
	return l, nil
}

// throughCoordinator has a change coordinated that may be asked for again, by the
// first of a name's group that takes it. ErrOutcome when one that failed may have
// done it.
func (n *Node) throughCoordinator(ctx context.Context, name string, ask func(m MachineID) (changeReply, error)) (changeReply, error) {
	candidates, err := n.coordinators(ctx, name)
	if err != nil {
		return changeReply{}, err
	}
	var errs []error
	for _, m := range candidates {
		var reply changeReply
		if reply, err = ask(m); err == nil {
			return reply, nil
		}
		err = leftRing(err)
		errs = append(errs, err)
		if !elsewhere(err) {
			break
		}
	}
	joined := errors.Join(errs...)
	if elsewhere(err) {
		joined = fmt.Errorf("%w: %w", ErrOutcome, joined)
	}
	return changeReply{}, joined
}

// leftRing makes ErrLeaving of a refusal because one of the two machines has left the
// ring, be it the coordinator or this one while it was asking: another may be asked.
func leftRing(err error) error {
	if !errors.Is(err, trust.ErrDeparted) {
		return err
	}
	return fmt.Errorf("%w: %s", ErrLeaving, err.Error()) // which no client may take for one of its own
}

// elsewhere reports whether a failure at one coordinator leaves it to try another.
func elsewhere(err error) bool {
	for _, e := range []error{ErrLeaving, filestore.ErrDegraded, transfer.ErrUnreachable, transfer.ErrBusy, transfer.ErrClosed, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// storeThrough sends a store to its coordinator.
func (n *Node) storeThrough(ctx context.Context, m MachineID, h storeHeader, f *feed) (changeReply, error) {
	send := n.storeInStream
	if h.isSmall() {
		send = n.storeInCall
	}
	reply, err := send(ctx, m, h, f)
	if err != nil {
		return changeReply{}, n.notThrough(m, &h, f, err)
	}
	return reply, n.checkRecord(ctx, m, h.Name, reply.Record)
}

// notThrough is why a coordinator elsewhere did not answer a store.
func (n *Node) notThrough(m MachineID, h *storeHeader, f *feed, err error) error {
	begun := f.begun || h.isSmall() && !errors.Is(err, transfer.ErrNotSent)
	if begun && (errors.Is(err, transfer.ErrUnreachable) || errors.Is(err, transfer.ErrClosed)) {
		err = fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	return &OpError{Op: "send", Peer: n.members.label(m), Err: err}
}

func (n *Node) storeInStream(ctx context.Context, m MachineID, h storeHeader, f *feed) (changeReply, error) {
	h.Resume = resumable(h.Size)
	s, err := n.net.Open(ctx, n.members.peer(m), streamStore, h)
	n.silence.note(m, err)
	if err != nil {
		return changeReply{}, err
	}
	reply, err := sendStore(ctx, s, f, h.Resume)
	if err != nil {
		s.Abort(ErrInterrupted)
	}
	return reply, err
}

func sendStore(ctx context.Context, s *transfer.Stream, f *feed, resume bool) (changeReply, error) {
	var there known
	if resume {
		if err := there.askPart(s); err != nil {
			return changeReply{}, err
		}
	}
	t, err := f.run(ctx, func(c transfer.Chunk) error { return there.send(s, c) })
	f.sent -= there.spared
	if err != nil {
		return changeReply{}, err
	}
	if err := s.EndChunks(); err != nil {
		return changeReply{}, err
	}
	if err := s.Send(t); err != nil {
		return changeReply{}, err
	}
	var reply changeReply
	if err := s.Receive(&reply); err != nil {
		return changeReply{}, err
	}
	return reply, s.Close()
}
