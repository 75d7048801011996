package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// links is a network of its own for a ring: each daemon in a network namespace,
// plugged into one switch. Each plug can be limited to a rate, as a machine's link is:
// what its daemon sends, and on the switch's side what it receives, from all others
// together. It needs the right to make namespaces, and ip and tc.
type links struct {
	prefix string // of all names
	count  int
}

// linkRates are tried one after the other: as tc writes them, and how much is moved
// at that rate.
var linkRates = []struct {
	name, rate string
	bytes      int64
}{
	{"100 Mbit/s", "100mbit", 64 << 20},
	{"1 Gbit/s", "1gbit", 512 << 20},
}

func (l *links) space(i int) string { return fmt.Sprintf("%sn%d", l.prefix, i) }
func (l *links) hub() string        { return l.prefix + "hub" }

// enter begins a command line that runs at the i-th plug.
func (l *links) enter(i int) []string { return []string{"ip", "netns", "exec", l.space(i)} }

// plug is the switch's end of a link.
func plug(i int) string { return fmt.Sprintf("p%d", i) }

func (l *links) address(i int) string { return fmt.Sprintf("10.98.0.%d", i+1) }

// newLinks makes the network.
func newLinks(ctx context.Context, count int) (*links, error) {
	l := &links{prefix: fmt.Sprintf("dhtb%d", os.Getpid()), count: count}
	lines := [][]string{
		{"ip", "netns", "add", l.hub()},
		{"ip", "-n", l.hub(), "link", "add", "hub", "type", "bridge"},
		{"ip", "-n", l.hub(), "link", "set", "hub", "up"},
	}
	for i := range count {
		lines = append(lines,
			[]string{"ip", "netns", "add", l.space(i)},
			[]string{"ip", "link", "add", "eth", "netns", l.space(i), "type", "veth", "peer", "name", plug(i), "netns", l.hub()},
			[]string{"ip", "-n", l.space(i), "addr", "add", l.address(i) + "/24", "dev", "eth"},
			[]string{"ip", "-n", l.space(i), "link", "set", "lo", "up"},
			[]string{"ip", "-n", l.space(i), "link", "set", "eth", "up"},
			[]string{"ip", "-n", l.hub(), "link", "set", plug(i), "master", "hub", "up"})
	}
	return l, l.run(ctx, lines)
}

// limit has each daemon send, and receive, at most at a rate.
func (l *links) limit(ctx context.Context, rate string) error {
	limit := []string{"root", "tbf", "rate", rate, "burst", "256kb", "latency", "30ms"}
	var lines [][]string
	for i := range l.count {
		lines = append(lines,
			append([]string{"tc", "-n", l.space(i), "qdisc", "replace", "dev", "eth"}, limit...),
			append([]string{"tc", "-n", l.hub(), "qdisc", "replace", "dev", plug(i)}, limit...))
	}
	return l.run(ctx, lines)
}

func (l *links) remove() {
	var u usage
	for i := range l.count {
		_ = u.command(context.Background(), "ip", "netns", "del", l.space(i)) // not there when it could not be made
	}
	_ = u.command(context.Background(), "ip", "netns", "del", l.hub())
}

func (l *links) run(ctx context.Context, lines [][]string) error {
	var u usage
	for _, line := range lines {
		if err := u.command(ctx, line...); err != nil {
			return err
		}
	}
	return nil
}

// limited measures rings over links of limited rates.
func (b *bench) limited(ctx context.Context, t *table) error {
	if !b.wanted("limited") {
		return nil
	}
	l, err := newLinks(ctx, b.nodes)
	defer l.remove()
	if err != nil {
		b.missing = append(b.missing, fmt.Sprintf("limited links (%v)", err))
		return nil
	}
	onLinks := &bench{options: b.options, dir: filepath.Join(b.dir, "limited"), talk: b.talk, results: map[string][]sample{}}
	if err := os.Mkdir(onLinks.dir, 0o700); err != nil {
		return err
	}
	b.say("starting %d daemons in network namespaces", b.nodes)
	onLinks.ring, err = startRing(ctx, b.program, onLinks.dir, b.nodes, l)
	defer onLinks.close()
	if err != nil {
		return err
	}
	for _, r := range linkRates {
		if err := l.limit(ctx, r.rate); err != nil {
			return err
		}
		size := min(r.bytes, int64(b.size))
		onLinks.random, onLinks.logs = filepath.Join(onLinks.dir, "random"), filepath.Join(onLinks.dir, "logs")
		if err := writeRandom(onLinks.random, size); err != nil {
			return err
		}
		if err := writeLogs(onLinks.logs, size); err != nil {
			return err
		}
		rows := func(round int) ([]row, []string) { return onLinks.limitedRows(ctx, round, r.name, size) }
		if err := onLinks.measure(ctx, t, rows); err != nil {
			return err
		}
	}
	return nil
}

// limitedRows lists the work of one round over limited links. Content that does
// not shrink is what a fetch without compression would be.
func (b *bench) limitedRows(ctx context.Context, round int, link string, bytes int64) (rows []row, stored []string) {
	const plain, auto = "dhtfs --compress off", us
	const all = "--write-quorum=3" // with fewer a slow link would be spared a copy, and a fast one not
	random, logs, raw := fmt.Sprintf("random-%d", round), fmt.Sprintf("logs-%d", round), fmt.Sprintf("raw-%d", round)
	title := func(what string) string { return fmt.Sprintf("%s %s, limited to %s", what, size(bytes), link) }
	as := func(name string, c contender) contender { c.name = name; return c }
	return []row{
		{title("store logs"), plain, []contender{
			as(plain, b.outsider(ctx, b.logs, raw, all, "--compress", "off")),
			as(auto, b.outsider(ctx, b.logs, logs, all)),
		}},
		{title("store random"), "", []contender{b.outsider(ctx, b.random, random, all)}},
		{title("fetch"), "random", []contender{
			as("random", b.fetcher(ctx, random, random)),
			as("logs", b.fetcher(ctx, logs, logs)),
		}},
	}, []string{random, logs, raw}
}
