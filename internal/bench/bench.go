package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// bench is one run of the benchmark.
type bench struct {
	options
	dir     string
	talk    io.Writer
	ring    *ring
	servers servers
	results map[string][]sample // by title and contender
	missing []string
	kept    int // directories of small files

	random, logs, part, tree string // what is stored
}

// row is one piece of work.
type row struct {
	title      string
	reference  string // contender, or another row's title and contender, see key
	contenders []contender
}

// contender does a row's work once a round. Its files are made and removed
// outside the time that counts.
type contender struct {
	name    string
	servers []int // processes that work for it
	before  func() error
	run     func(*usage) error
}

func key(title, name string) string { return title + ": " + name }

// prepare makes the files and starts the servers.
func (b *bench) prepare(ctx context.Context) (err error) {
	b.results = map[string][]sample{}
	b.say("making files of %s and %d files of %s", size(int64(b.size)), b.files, size(smallFile))
	for file, fill := range map[*string]func(string) error{
		&b.random: func(at string) error { return writeRandom(at, int64(b.size)) },
		&b.logs:   func(at string) error { return writeLogs(at, int64(b.size)) },
		&b.part:   func(at string) error { return writeRandom(at, max(1, int64(b.size)/4)) },
		&b.tree:   func(at string) error { return writeTree(at, b.files) },
	} {
		name := map[*string]string{&b.random: "random", &b.logs: "logs", &b.part: "part", &b.tree: "tree"}[file]
		*file = filepath.Join(b.dir, name)
		if err := fill(*file); err != nil {
			return err
		}
	}
	b.say("starting %d daemons", b.nodes)
	if b.ring, err = startRing(ctx, b.program, b.dir, b.nodes, nil); err != nil {
		return err
	}
	return b.startServers(ctx)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.talk, format+"\n", args...) }

func (b *bench) close() {
	b.servers.stop()
	if b.ring != nil {
		if err := b.ring.stop(); err != nil {
			b.say("stopping the daemons: %v", err)
		}
	}
}

// measureAll adds every row to the table, round by round, then what has no rounds.
func (b *bench) measureAll(ctx context.Context, t *table) error {
	t.note("%d rounds, %d daemons, three copies; large file %s, %d files of %s; %s", b.runs, b.nodes, size(int64(b.size)), b.files, size(smallFile), machine())
	if err := b.measure(ctx, t, func(round int) ([]row, []string) { return b.rows(ctx, round) }); err != nil {
		return err
	}
	if b.wanted("latency") {
		if err := b.latency(ctx, t); err != nil {
			return err
		}
	}
	if err := b.limited(ctx, t); err != nil {
		return err
	}
	t.note("peak memory of the largest daemon: %s", mebibytes(peakOf(b.ring.pids)))
	if b.idle > 0 {
		if err := b.quiet(ctx, t); err != nil {
			return err
		}
	}
	if len(b.missing) > 0 {
		t.note("left out, not installed or not usable here: %s", strings.Join(b.missing, ", "))
	}
	return nil
}

// measure does rows round by round and adds them to the table: after a failure what was
// measured before it.
func (b *bench) measure(ctx context.Context, t *table, list func(round int) (rows []row, stored []string)) error {
	var rows []row
	var failed error
	for round := range b.runs {
		all, stored := list(round)
		var done []row
		if done, failed = b.round(ctx, round, all, stored); len(done) > len(rows) {
			rows = done
		}
		if failed != nil {
			break
		}
	}
	for _, r := range rows {
		for _, c := range r.contenders {
			if len(b.results[key(r.title, c.name)]) == 0 {
				continue
			}
			against := b.results[key(r.title, r.reference)]
			if against == nil {
				against = b.results[r.reference]
			}
			t.add(r.title, c.name, b.results[key(r.title, c.name)], r.reference, against)
		}
	}
	return failed
}

// wanted reports whether a row is among those asked for.
func (b *bench) wanted(title string) bool {
	for _, part := range strings.Split(b.only, "|") {
		if strings.Contains(title, part) {
			return true
		}
	}
	return false
}

// round does every row's work once and removes what large files it has stored. It returns
// the rows that it has begun.
func (b *bench) round(ctx context.Context, n int, rows []row, stored []string) ([]row, error) {
	defer func() {
		for _, name := range stored {
			_, _ = b.ring.dhtfs(ctx, 0, "rm", "--yes", "-q", name) // not there when its row was not wanted
		}
	}()
	var done []row
	for _, r := range rows {
		if !b.wanted(r.title) {
			continue
		}
		done = append(done, r)
		for i := range r.contenders {
			c := r.contenders[(i+n)%len(r.contenders)]
			if err := b.one(ctx, r, c); err != nil {
				return done, fmt.Errorf("%s: %s: %w", r.title, c.name, err)
			}
		}
	}
	return done, nil
}

// one lets a contender do its work, on a disk that has nothing left to write.
func (b *bench) one(ctx context.Context, r row, c contender) error {
	if c.before != nil {
		if err := c.before(); err != nil {
			return err
		}
	}
	var quiet usage
	if err := b.flush(ctx, &quiet); err != nil {
		return err
	}
	s, err := measure(c.servers, c.run)
	if err != nil {
		return err
	}
	b.say("%-40s %-24s %9s  CPU %8s", r.title, c.name, seconds(s.wall), seconds(s.cpu))
	k := key(r.title, c.name)
	b.results[k] = append(b.results[k], s)
	return nil
}

// flush writes out what the system still keeps of the benchmark's file system.
func (b *bench) flush(ctx context.Context, u *usage) error {
	if _, err := exec.LookPath("sync"); err != nil {
		return errors.New("the command sync is needed")
	}
	if u.command(ctx, "sync", "-f", b.dir) == nil {
		return nil
	}
	return u.command(ctx, "sync") // one that knows no file systems
}

// fresh is an empty directory, made anew each time. A former one with a tree of small
// files is kept until the end: for every file that is made, ext4 without a journal looks
// through all that were removed in the last minute, and that would be measured.
func (b *bench) fresh(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if slices.ContainsFunc(there, fs.DirEntry.IsDir) {
		b.kept++
		err = os.Rename(dir, fmt.Sprintf("%s-%d", dir, b.kept))
	} else {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o700)
}
