package main

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// The contenders that others are compared with.
const (
	us         = "dhtfs"
	rsyncFsync = "rsync --fsync"
	rsyncPlain = "rsync"
)

// rows lists the work of one round, and the names of large files that it stores.
func (b *bench) rows(ctx context.Context, round int) (rows []row, stored []string) {
	random, logs := fmt.Sprintf("random-%d", round), fmt.Sprintf("logs-%d", round)
	part, tree := fmt.Sprintf("part-%d", round), fmt.Sprintf("tree-%d/", round)
	large := size(int64(b.size))
	quarter := size(max(1, int64(b.size)/4))
	storeRandom, fetchRandom := "store "+large+" random", "fetch "+large+" random"
	storeTree := fmt.Sprintf("store %d x %s", b.files, size(smallFile))
	fetchTree := fmt.Sprintf("fetch %d x %s", b.files, size(smallFile))
	rows = []row{
		{storeRandom, rsyncFsync, append(b.senders(ctx, b.random), b.storer(ctx, round, b.random, "--as", random))},
		{fetchRandom, rsyncPlain, append(b.receivers(ctx, b.random), b.fetcher(ctx, random, random))},
		{"store " + large + " logs", key(storeRandom, us), []contender{b.storer(ctx, round, b.logs, "--as", logs)}},
		{"fetch " + large + " logs", key(fetchRandom, us), []contender{b.fetcher(ctx, logs, logs)}},
		{storeTree, rsyncFsync, append(b.senders(ctx, b.tree), b.storer(ctx, round, b.tree, "--prefix", tree))},
		{fetchTree, rsyncPlain, append(b.receivers(ctx, b.tree), b.fetcher(ctx, tree+"tree/"+smallName(0), tree+"*/*"))},
		{"4 clients fetch " + quarter + " each", rsyncPlain, append(b.pullers(ctx, 4), b.crowd(ctx, round, part, 4))},
	}
	return rows, []string{random, logs, part}
}

// storer stores a file or folder at a node that changes every round.
func (b *bench) storer(ctx context.Context, round int, path string, flags ...string) contender {
	node := round % b.nodes
	return contender{name: us, servers: b.ring.pids, run: func(u *usage) error {
		return u.command(ctx, b.ring.args(node, append([]string{"store", "-q", path}, flags...)...)...)
	}}
}

// outsider stores a file at a node that is not to keep it: how many copies leave that
// node is the same for all names then.
func (b *bench) outsider(ctx context.Context, path, name string, flags ...string) contender {
	var nodes []int
	return contender{
		name: us, servers: b.ring.pids,
		before: func() (err error) {
			nodes, err = b.ring.outsiders(ctx, name)
			return err
		},
		run: func(u *usage) error {
			return u.command(ctx, b.ring.args(nodes[0], append([]string{"store", "-q", path, "--as", name}, flags...)...)...)
		},
	}
}

// fetcher fetches what pattern matches at a node that does not hold sample.
func (b *bench) fetcher(ctx context.Context, sample, pattern string) contender {
	var dir string
	var nodes []int
	return contender{
		name: us, servers: b.ring.pids,
		before: func() (err error) {
			if nodes, err = b.ring.strangers(ctx, sample); err != nil {
				return err
			}
			dir, err = b.fresh("fetched")
			return err
		},
		run: func(u *usage) error {
			return u.command(ctx, b.ring.args(nodes[0], "fetch", "-q", pattern, "-o", dir+"/")...)
		},
	}
}

// crowd stores a file and has several clients fetch it at the same time, at nodes
// that do not hold it.
func (b *bench) crowd(ctx context.Context, round int, name string, clients int) contender {
	var dir string
	var nodes []int
	return contender{
		name: us, servers: b.ring.pids,
		before: func() (err error) {
			if _, err = b.ring.dhtfs(ctx, round%b.nodes, "store", "-q", b.part, "--as", name); err != nil {
				return err
			}
			if nodes, err = b.ring.strangers(ctx, name); err != nil {
				return err
			}
			dir, err = b.fresh("fetched")
			return err
		},
		run: func(u *usage) error {
			return atOnce(clients, func(i int) error {
				at := nodes[i%len(nodes)]
				return u.command(ctx, b.ring.args(at, "fetch", "-q", name, "-o", filepath.Join(dir, fmt.Sprint(i)))...)
			})
		},
	}
}

// atOnce calls f n times at the same time.
func atOnce(n int, f func(i int) error) error {
	var all errgroup.Group
	for i := range n {
		all.Go(func() error { return f(i) })
	}
	return all.Wait()
}
