package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"time"

	"github.com/dhtfs/dhtfs/node/api"
)

// many fetches small files by one call. Everything else goes one by one: what is
// not small, and what has failed, which may be tried again.
func (f *fetcher) many(ctx context.Context, names []string, alone *jobs) {
	start := time.Now()
	places := newFolders(f.target)
	defer places.close()
	missing := make(map[int]bool, len(names))
	for i := range names {
		missing[i] = true
	}
	_ = f.client.FetchMany(ctx, names, f.options.query(0), api.MaxInline, func(g api.Got) error {
		if g.Later || g.Error != nil || !missing[g.Index] {
			return ctx.Err()
		}
		delete(missing, g.Index)
		name := names[g.Index]
		got, err := f.keep(places, name, g)
		if err != nil {
			f.report.fail(ctx, name, err)
		} else {
			f.tell(name, got, time.Since(start))
		}
		return ctx.Err()
	})
	for i, name := range names { // the call's own failure is that of these
		if missing[i] && !alone.run(ctx, false, func() { f.one(ctx, name) }) {
			return
		}
	}
}

// keep writes a content that came as a whole to a temporary file beside its target
// and renames it.
func (f *fetcher) keep(places *folders, name string, g api.Got) (fetchResult, error) {
	got := fetchResult{file: g.File}
	t, local, err := places.place(name)
	if err != nil {
		return got, err
	}
	if local, got.action, err = f.settle(t, local, g.File); err != nil {
		return got, err
	}
	got.path = t.path(local)
	if got.action != "fetched" {
		return got, nil
	}
	check := newSum()
	check.Write(g.Content)
	if !check.is(g.File.SHA256) {
		return got, damaged(name)
	}
	f.progress.expect(g.File.Size)
	part := partOf(local, rand.Text()) // nobody goes on with it, so that none need be found again
	err = f.writePart(t, part, g)
	if err == nil {
		err = t.publish(part, local, f.options.conflict == "overwrite")
	}
	if err != nil {
		_ = t.root.Remove(part)
		if f.cameMeanwhile(t, local, &got) {
			err = nil
		}
		return got, err
	}
	f.progress.add(g.File.Size)
	got.bytes, got.verified, got.from = g.File.Size, true, g.From
	if f.options.fsync {
		return got, t.sync(local)
	}
	return got, nil
}

// writePart makes the temporary file of a content.
func (f *fetcher) writePart(t *target, part string, g api.Got) (err error) {
	if t.dir != nil {
		err := writeNew(t.fd, part, g.Content, modeOf(g.File), g.File.Modified, f.options.fsync)
		if !errors.Is(err, errors.ErrUnsupported) {
			return writing(err)
		}
	}
	file, err := t.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return writing(err)
	}
	defer func() { err = errors.Join(err, writing(file.Close())) }()
	if _, err := file.Write(g.Content); err != nil {
		return writing(err)
	}
	return f.finish(t, file, part, g.File)
}
