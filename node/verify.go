package node

import (
	"context"
	"errors"
	"path"

	"golang.org/x/time/rate"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/filestore"
)

// VerifyOptions choose what Verify reads. The zero value is everything that
// this node holds, as fast as the disk gives it, and nothing is healed.
type VerifyOptions struct {
	Pattern string // the name, or else the names that path.Match matches; empty: all
	Repair  bool   // heal what is damaged or missing before going on
	Rate    int64  // bytes a second; 0: no limit
}

// VerifyState is what Verify found of a file.
type VerifyState string

// The states of a file that was verified.
const (
	VerifiedOK      VerifyState = "ok"      // every byte is right
	VerifiedDamaged VerifyState = "damaged" // it was not, or the file was gone: put aside, and not served
	VerifiedMissing VerifyState = "missing" // this node is to have a copy and has none
	VerifiedHealed  VerifyState = "healed"  // one of these, and there is a good copy again
)

// Verified is a file that was verified.
type Verified struct {
	Name  string
	Size  int64
	State VerifyState
	From  []string // of a healed one: the nodes that its content came from
	Err   error    // what was wrong, or why it could not be healed
}

// VerifyProgress is how far a verification is; at its end, what it came to.
type VerifyProgress struct {
	Files, OfFiles           int
	Bytes, OfBytes           int64
	Damaged, Missing, Healed int // Damaged and Missing without those that were healed
}

// Clean reports whether nothing is left that is not as it should be.
func (p VerifyProgress) Clean() bool { return p.Damaged == 0 && p.Missing == 0 }

// Verify reads files that this node holds back from its disk and checks every
// byte. What is damaged is put aside and not served any more; this node then
// gets a good copy by itself, or with Repair before Verify goes on. yield hears
// of each file, and without a State of each chunk, and ends it with an error. The error is
// ErrNotFound when the pattern matches nothing that this node is to hold.
func (n *Node) Verify(ctx context.Context, o VerifyOptions, yield func(Verified, VerifyProgress) error) (VerifyProgress, error) {
	p, err := n.verify(ctx, o, yield)
	if err != nil {
		return p, &OpError{Op: "verify", Name: o.Pattern, Err: err}
	}
	return p, nil
}

func (n *Node) verify(ctx context.Context, o VerifyOptions, yield func(Verified, VerifyProgress) error) (p VerifyProgress, err error) {
	wanted := o.selects(n.store)
	if err := n.eachOwn(filestore.Cursor{}, func(reg filestore.Entry) error {
		if wanted(reg.Name) {
			p.OfFiles++
			p.OfBytes += reg.Record.Size
		}
		return ctx.Err()
	}); err != nil {
		return p, err
	}
	if p.OfFiles == 0 && o.Pattern != "" {
		return p, ErrNotFound
	}
	keeps := paceOf(ctx, newLimiter(o.Rate))
	pace := func(bytes int) error {
		p.Bytes += int64(bytes)
		if err := yield(Verified{}, p); err != nil {
			return err
		}
		return keeps(bytes)
	}
	return p, n.eachOwn(filestore.Cursor{}, func(reg filestore.Entry) error {
		if !wanted(reg.Name) {
			return ctx.Err()
		}
		before := p.Bytes
		v, err := n.verifyOne(ctx, reg, o.Repair, pace)
		if err != nil || v.State == "" {
			return err
		}
		p.Files++
		p.Bytes = before + v.Size
		switch v.State {
		case VerifiedDamaged:
			p.Damaged++
		case VerifiedMissing:
			p.Missing++
		case VerifiedHealed:
			p.Healed++
		}
		return yield(v, p)
	})
}

// selects returns the test for the names that are wanted: a name that is here
// goes before a pattern, and a pattern that is none matches nothing but itself.
func (o VerifyOptions) selects(s *filestore.Store) func(name string) bool {
	if o.Pattern == "" {
		return func(string) bool { return true }
	}
	if r, err := s.Register(o.Pattern); err == nil && r.Record != nil && !r.Record.Deleted {
		return func(name string) bool { return name == o.Pattern }
	}
	return func(name string) bool {
		ok, err := path.Match(o.Pattern, name)
		return ok && err == nil
	}
}

// eachOwn calls f with every live register behind a cursor whose content is
// here or should be. An error of f ends it.
func (n *Node) eachOwn(from filestore.Cursor, f func(filestore.Entry) error) error {
	for reg, err := range n.store.Registers(chord.ID{}, chord.ID{}, from) {
		if err != nil {
			return err
		}
		if reg.Record == nil || reg.Record.Deleted || !reg.Held && !reg.Record.Voters.Contains(n.self()) {
			continue
		}
		if err := f(reg); err != nil {
			return err
		}
	}
	return nil
}

// verifyOne verifies one file. State is empty for one that has changed meanwhile.
func (n *Node) verifyOne(ctx context.Context, reg filestore.Entry, repair bool, pace func(int) error) (Verified, error) {
	v := Verified{Name: reg.Name, Size: reg.Record.Size, State: VerifiedOK}
	if reg.Held {
		_, v.Err = n.store.Verify(reg.Name, pace)
		switch {
		case v.Err == nil:
			n.healer.closed(reg.Name, true)
			return v, nil
		case errors.Is(v.Err, filestore.ErrCorrupt):
			v.State = VerifiedDamaged
		case errors.Is(v.Err, filestore.ErrNotFound):
			return Verified{}, ctx.Err()
		default:
			return Verified{}, v.Err
		}
	} else {
		v.State = VerifiedMissing
		v.Err = filestore.ErrNotFound
	}
	if !repair {
		return v, nil
	}
	from, err := n.heal(ctx, reg.Name)
	if err != nil {
		v.Err = err
		return v, ctx.Err()
	}
	v.State, v.From, v.Err = VerifiedHealed, from, nil
	return v, nil
}

// newLimiter limits to so many bytes a second; 0 is no limit.
func newLimiter(bytes int64) *rate.Limiter {
	if bytes <= 0 {
		return rate.NewLimiter(rate.Inf, filestore.ChunkSize)
	}
	return rate.NewLimiter(rate.Limit(bytes), filestore.ChunkSize)
}

// paceOf is what a verification is called with before each chunk.
func paceOf(ctx context.Context, l *rate.Limiter) func(int) error {
	return func(bytes int) error { return l.WaitN(ctx, bytes) }
}
