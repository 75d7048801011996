package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/dhtfs/dhtfs/node/api"
)

// many stores small files by two calls: what is stored under their names, and then
// all those at once that have to be sent. What fails and may be tried again goes
// one by one: with the operation ID that it has.
func (s *storer) many(ctx context.Context, uploads []upload, alone *jobs) {
	start := time.Now()
	one := func(u upload, o storing) {
		alone.run(ctx, false, func() { s.one(ctx, u, o) })
	}
	names := make([]string, len(uploads))
	for i, u := range uploads {
		names[i] = u.name
	}
	looked, err := s.client.Look(ctx, names)
	if err != nil {
		for _, u := range uploads {
			one(u, newStoring())
		}
		return
	}
	var together []upload
	var puts []api.Put
	for i, u := range uploads {
		o, there := newStoring(), looked[i]
		if there.File == nil && !there.Free {
			one(u, o)
			continue
		}
		if there.File != nil && s.settle(ctx, u, *there.File, start) {
			continue
		}
		o.base, o.known = there.Changes, true
		put, err := s.read(u, o)
		if err != nil {
			one(u, o) // which finds the same
			continue
		}
		together, puts = append(together, u), append(puts, put)
	}
	if len(puts) == 0 {
		return
	}
	stored, err := s.client.StoreMany(ctx, puts, s.shared(), func(r io.Reader) io.Reader { return s.limited(ctx, r) })
	for i, u := range together {
		failure := err
		if err == nil && stored[i].Error != nil {
			failure = stored[i].Error
		}
		o := puts[i].Options
		switch {
		case failure == nil:
			s.progress.add(stored[i].Size)
			s.tell(u.name, stored[i], time.Since(start))
		case passing(failure, 2) && ctx.Err() == nil:
			one(u, storing{o.Op, o.Base, true})
		default:
			s.report.fail(ctx, u.name, s.explain(ctx, failure))
		}
	}
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
	if before.Size() > api.MaxInline || before.Size() == 0 {
		return api.Put{}, errGrown
	}
	put := api.Put{Name: u.name, Content: make([]byte, before.Size())}
	put.Options.Op, put.Options.Base = o.op, o.base
	put.Options.Mode, put.Options.Modified = before.Mode().Perm(), before.ModTime()
	_, err = io.ReadFull(api.NewSteadyReader(file, before, before.Name()), put.Content)
	return put, err
}
