package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/transfer"
)

// Node is what a folder is published through: a *node.Node.
type Node interface {
	// Look, Store, Copy and DeleteVersion are those of node.Node.
	Look(ctx context.Context, name string) (node.File, error)
	Store(ctx context.Context, name string, content io.Reader, o node.StoreOptions) (node.StoreResult, error)
	Copy(ctx context.Context, name string, from node.Source, o node.StoreOptions) (node.StoreResult, error)
	DeleteVersion(ctx context.Context, name string, version, op filestore.OpID, base uint64) error
}

// publisher does the jobs of one folder. Safe for concurrent use.
type publisher struct {
	node    Node
	self    node.MachineID
	folder  Folder
	catalog *catalog
	private func(dir string) bool // the home of a node
	disk    func(path string) uint64
	read    reading
}

// do does a job. root is where the folder was for which the job was made.
func (p *publisher) do(ctx context.Context, j job, root ground) outcome {
	if j.remove {
		return p.remove(ctx, j, root)
	}
	return p.publish(ctx, j)
}

// publish brings the file's content under its name, and over nothing but what
// this node has published there before.
func (p *publisher) publish(ctx context.Context, j job) outcome {
	name := p.folder.name(j.path)
	if err := filestore.ValidateName(name); err != nil {
		return outcome{verdict: failed, fault: p.fault(BadName, j.path, err)}
	}
	public := func() error { return p.public(j.path) }
	if err := public(); err != nil {
		return p.localFailure(j, err)
	}
	s, err := openSource(p.folder.Dir, filepath.FromSlash(j.path), j.print, &p.read)
	if err != nil {
		return p.localFailure(j, err)
	}
	defer s.close()
	s.public = public
	sum := filestore.Hash{}
	known := func() (err error) {
		if sum == (filestore.Hash{}) {
			sum, err = s.hash(ctx)
		}
		return err
	}
	there, err := p.look(ctx, name)
	if err != nil && !errors.Is(err, node.ErrVacant) { // nobody can tell, and it can be stored all the same
		return p.ringFailure(j, err)
	}
	live := there.Record.Op != (filestore.OpID{}) && !there.Record.Deleted
	if live && there.Record.Size == j.print.Size || p.catalog.hasSize(j.print.Size, name) {
		if err := known(); err != nil {
			return p.localFailure(j, err)
		}
	}
	switch {
	case live && sum != (filestore.Hash{}) && there.Record.SHA256 == sum:
		return p.published(j, &there.Record)
	case live && there.Record.Publisher != p.self:
		return outcome{verdict: failed, fault: p.conflict(j.path, &there.Record)}
	}
	o := node.StoreOptions{
		Op: j.op, Base: there.Record.Changes, IfExists: node.Fail,
		Size: j.print.Size, Empty: j.print.Size == 0, Mode: s.mode, Modified: j.print.modified(),
	}
	if live {
		o.IfExists, o.Version = node.Update, there.Record.Op
	}
	if sum != (filestore.Hash{}) {
		if from, ok := p.catalog.find(sum, name); ok {
			r, err := p.node.Copy(ctx, name, from, o)
			if err == nil {
				return p.published(j, &r.Record)
			}
			// Otherwise, whatever is wrong with the source, the content is here.
		}
	}
	c, err := s.content(ctx)
	if err != nil {
		return p.localFailure(j, err)
	}
	r, err := p.node.Store(ctx, name, c, o)
	switch {
	case c.err != nil:
		return p.localFailure(j, c.err)
	case err != nil:
		return p.ringFailure(j, err)
	}
	return p.published(j, &r.Record)
}

// errHome says that a file is in the home of a node. The next look at it leaves it out.
var errHome = fmt.Errorf("%w: it is in the home of a node", errChanged)

// public makes sure that a file is in no home of a node, which a folder may
// have become after the file was seen.
func (p *publisher) public(path string) error {
	if homeAbove(p.private, filepath.Dir(filepath.Join(p.folder.Dir, filepath.FromSlash(path)))) != "" {
		return errHome
	}
	return nil
}

// look asks what the ring has under a name: nothing, a tombstone, or a file.
func (p *publisher) look(ctx context.Context, name string) (node.File, error) {
	f, err := p.node.Look(ctx, name)
	if errors.Is(err, node.ErrNotFound) {
		return f, nil
	}
	if err == nil && !f.Confirmed {
		err = node.ErrUnavailable
	}
	return f, err
}

// published is the outcome of a job whose content the ring has.
func (p *publisher) published(j job, rec *filestore.Record) outcome {
	return outcome{verdict: done, entry: Entry{
		Print: j.print, Sum: rec.SHA256, Version: rec.Op, Ours: rec.Publisher == p.self,
	}}
}

// remove removes the version that this folder has published, if the ring still
// has that and the file is still not there.
func (p *publisher) remove(ctx context.Context, j job, root ground) outcome {
	if _, err := os.Lstat(filepath.Join(p.folder.Dir, filepath.FromSlash(j.path))); err == nil || !isGone(err) {
		return outcome{verdict: changed}
	}
	// Asked afterwards: so it was not seen on another disk, or where none is mounted.
	if at, _, err := groundOf(p.folder.Dir, p.disk); err != nil || at != root {
		return outcome{verdict: changed}
	}
	if j.entry.Disk != diskAbove(p.folder.Dir, j.path, p.disk) {
		return outcome{verdict: changed}
	}
	name := p.folder.name(j.path)
	there, err := p.look(ctx, name)
	if err != nil {
		return p.ringFailure(j, err)
	}
	rec := &there.Record
	ours := rec.Op == j.entry.Version && j.entry.Ours || rec.Op == j.entry.Attempt
	if rec.Op == (filestore.OpID{}) || rec.Deleted || !ours {
		return outcome{verdict: done}
	}
	err = p.node.DeleteVersion(ctx, name, rec.Op, j.op, rec.Changes)
	if err != nil && !errors.Is(err, node.ErrNotFound) && !errors.Is(err, node.ErrExists) {
		return p.ringFailure(j, err)
	}
	return outcome{verdict: done}
}

// isGone reports whether an error says that there is nothing at a path.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotFolder) }

// localFailure is the outcome of a job whose file cannot be read.
func (p *publisher) localFailure(j job, err error) outcome {
	switch {
	case errors.Is(err, errOpen):
		return outcome{verdict: open}
	case errors.Is(err, errChanged) || isGone(err) || errors.Is(err, context.Canceled):
		return outcome{verdict: changed}
	}
	return outcome{verdict: failed, fault: p.fault(Unreadable, j.path, err)}
}

// transient are the errors of a ring that cannot do now what it can do later.
var transient = []error{
	node.ErrUnavailable, node.ErrOutcome, node.ErrInterrupted, node.ErrLeaving, node.ErrNotReady, node.ErrTooFew,
	transfer.ErrUnreachable, transfer.ErrBusy, transfer.ErrClosed, context.DeadlineExceeded, context.Canceled,
}

// ringFailure is the outcome of a job that the ring has not done.
func (p *publisher) ringFailure(j job, err error) outcome {
	if exists, ok := errors.AsType[*node.ExistsError](err); ok {
		if exists.Record.Publisher == p.self {
			return outcome{verdict: changed} // another of our versions came between; look again
		}
		return outcome{verdict: failed, fault: p.conflict(j.path, &exists.Record)}
	}
	if errors.Is(err, filestore.ErrNoSpace) {
		f := p.fault(Refused, j.path, err)
		f.Hint = "see how full the nodes are:  dhtfs nodes"
		return outcome{verdict: failed, fault: f}
	}
	for _, t := range transient {
		if errors.Is(err, t) {
			return outcome{verdict: unavailable, fault: &Fault{
				Kind: Ring, Reason: "the ring does not take files now: " + err.Error(),
				Hint: "publishing goes on by itself; see who answers:  dhtfs nodes",
			}}
		}
	}
	if errors.Is(err, filestore.ErrBadName) || errors.Is(err, filestore.ErrCollision) {
		return outcome{verdict: failed, fault: p.fault(BadName, j.path, err)}
	}
	return outcome{verdict: failed, fault: p.fault(Refused, j.path, err)}
}

func (p *publisher) fault(kind Kind, path string, err error) *Fault {
	f := &Fault{Kind: kind, Path: path, Reason: err.Error()}
	switch kind {
	case BadName:
		f.Hint = "rename the file"
	case Unreadable:
		f.Hint = "let the user who runs the daemon read it"
	}
	return f
}

func (p *publisher) conflict(path string, rec *filestore.Record) *Fault {
	return &Fault{
		Kind: Conflict, Path: path,
		Reason: fmt.Sprintf("%q is stored by another node with other content (%d bytes)", rec.Name, rec.Size),
		Hint:   "rename this file, or remove the ring's:  dhtfs rm NAME",
	}
}
