package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// pending is a small file that is not stored yet.
type pending struct {
	upload
	storing
	failure error // of the last attempt, which may be gone at the next one
}

// small stores small files in rounds. One in which some fail does not wait for them:
// they are what the next round is about, each with the operation ID that it has.
func (s *storer) small(ctx context.Context, uploads []upload, alone *jobs) {
	left := make([]*pending, len(uploads))
	for i, u := range uploads {
		left[i] = &pending{upload: u, storing: newStoring()}
	}
	left = s.round(ctx, left, alone)
	attempts := 0
	if len(left) < len(uploads) || slices.ContainsFunc(left, func(f *pending) bool { return passing(f.failure, 1) }) {
		attempts = 1 // it was at a daemon: that none runs now counts for no file
	}
	_ = retryAfter(ctx, attempts, longestRest, s.options.retry, func(err error) { s.report.again(nameOf(left))(err) }, func(attempt int) error {
		if attempt > 0 {
			left = s.round(ctx, left, alone)
		}
		if len(left) == 0 {
			return nil
		}
		return left[0].failure
	})
	if ctx.Err() != nil {
		return
	}
	for _, f := range left {
		s.report.fail(ctx, f.name, s.explain(ctx, f.failure))
	}
}

// nameOf is what a list of files is called to people.
func nameOf(files []*pending) string {
	if len(files) == 1 {
		return files[0].name
	}
	return fmt.Sprintf("%s and %s", files[0].name, plural(len(files)-1, "more file"))
}

// round makes one attempt at each file and returns those for which another is worth while.
func (s *storer) round(ctx context.Context, files []*pending, alone *jobs) (left []*pending) {
	var mu sync.Mutex
	batches := newBatches(s.options.jobs, len(files))
	batches.run(ctx, func(from, to int) {
		failed := s.many(ctx, files[from:to], alone)
		mu.Lock()
		defer mu.Unlock()
		left = append(left, failed...)
	})
	batches.wait()
	return left
}

// many makes one attempt at each of some files by two calls: what is stored under
// their names, and then all those at once that have to be sent. It returns those that
// are worth another. What cannot go together goes alone.
func (s *storer) many(ctx context.Context, files []*pending, alone *jobs) (left []*pending) {
	start := time.Now()
	var together []*pending
	var puts []api.Put
	for i, there := range s.lookMany(ctx, files) {
		f := files[i]
		switch {
		case f.known:
		case there.File != nil:
			if s.settle(ctx, f.upload, *there.File, start) {
				continue
			}
		case there.Error == nil, errors.Is(there.Error, node.ErrVacant): // it can be stored, as in look
		case passing(there.Error, 2):
			f.failure = there.Error
			left = append(left, f)
			continue
		default:
			s.alone(ctx, f, alone)
			continue
		}
		if !f.known {
			f.base, f.known = there.Changes, true
		}
		put, err := s.read(f.upload, f.storing)
		if err != nil {
			s.alone(ctx, f, alone) // which finds the same
			continue
		}
		together, puts = append(together, f), append(puts, put)
	}
	return append(left, s.sendMany(ctx, together, puts, start)...)
}

// alone makes as many attempts at a file as it takes, one by one with others.
func (s *storer) alone(ctx context.Context, f *pending, alone *jobs) {
	alone.run(ctx, false, func() { s.one(ctx, f.upload, f.storing) })
}

// lookMany asks what is stored under the names of files, in their order. Of those of
// which it is known that is left open.
func (s *storer) lookMany(ctx context.Context, files []*pending) []api.Looked {
	there := make([]api.Looked, len(files))
	var names []string
	var at []int
	for i, f := range files {
		if !f.known {
			names, at = append(names, f.name), append(at, i)
		}
	}
	if len(names) == 0 {
		return there
	}
	looked, err := s.client.Look(ctx, names)
	for k, i := range at {
		if err != nil {
			there[i].Error = api.Describe(err)
		} else {
			there[i] = looked[k]
		}
	}
	return there
}

// sendMany makes one attempt to store files together, and returns those that are worth
// another.
func (s *storer) sendMany(ctx context.Context, files []*pending, puts []api.Put, start time.Time) (left []*pending) {
	if len(files) == 0 {
		return nil
	}
	stored, err := s.client.StoreMany(ctx, puts, s.shared(), func(r io.Reader) io.Reader { return s.limited(ctx, r) })
	for i, f := range files {
		f.failure = err
		if err == nil && stored[i].Error != nil {
			f.failure = stored[i].Error
		}
		switch {
		case f.failure == nil:
			s.progress.add(stored[i].Size)
			s.tell(f.name, stored[i], time.Since(start))
		case passing(f.failure, 2) && ctx.Err() == nil:
			left = append(left, f)
		default:
			s.report.fail(ctx, f.name, s.explain(ctx, f.failure))
		}
	}
	return left
}

// settle reports a file for which nothing needs to be sent, seeing what is stored;
// false when it is another one.
func (s *storer) settle(ctx context.Context, u upload, there api.Stat, start time.Time) bool {
	found, settled, err := s.weigh(u, there)
	switch {
	case err != nil:
		s.report.fail(ctx, u.name, s.explain(ctx, err))
	case settled:
		s.tell(u.name, found.stored().Briefly(), time.Since(start))
	}
	return err != nil || settled
}

// errGrown says that a file is not small any more.
var errGrown = errors.New("not small any more")

// read reads a small file that nobody changes meanwhile.
func (s *storer) read(u upload, o storing) (api.Put, error) {
	file, err := u.open()
	if err != nil {
		return api.Put{}, reading(err)
	}
	defer func() { _ = file.Close() }()
	before, err := file.Stat()
	if err != nil {
		return api.Put{}, reading(err)
	}
	if before.Size() > api.MaxInline {
		return api.Put{}, errGrown
	}
	content, err := api.NewSteadyReader(file, before, before.Name())
	if err != nil {
		return api.Put{}, err
	}
	put := api.Put{Name: u.name, Content: make([]byte, before.Size())}
	put.Options.Op, put.Options.Base = o.op, o.base
	put.Options.Mode, put.Options.Modified = before.Mode().Perm(), before.ModTime()
	_, err = io.ReadFull(content, put.Content)
	return put, err
}
