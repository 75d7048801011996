package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/dhtfs/dhtfs/node/api"
)

const (
	settleTime = 30 * time.Second       // for all nodes to see what happened to one of them
	lookEvery  = 100 * time.Millisecond // how often they are asked meanwhile
	batch      = 200                    // names to one command line
)

// run is one demo under way. The story is told in order by one goroutine.
type run struct {
	out      teller
	dir      string
	machines []*machine
	files    []file
	report   Report
	began    time.Time
}

// play is the whole story. The first machine founds the ring and stores; the
// roles of the others follow from who holds what.
func (r *run) play(ctx context.Context, paths []string) error {
	r.report.Members = len(r.machines)
	if err := r.build(ctx); err != nil {
		return err
	}
	if err := r.store(ctx, paths); err != nil {
		return err
	}
	held, err := r.holdings(ctx, r.machines[0])
	if err != nil {
		return err
	}
	r.out.holdings(r.machines, held)
	cast := assign(r.machines, held)
	if err := r.kill(ctx, cast, held); err != nil {
		return err
	}
	if r.report.AfterKill, err = r.fetch(ctx, cast.reader); err != nil {
		return err
	}
	if err := r.notice(ctx, cast); err != nil {
		return err
	}
	if cast.leaver != nil {
		if err := r.logout(ctx, cast.leaver); err != nil {
			return err
		}
		again, err := r.fetch(ctx, r.machines[0])
		if err != nil {
			return err
		}
		r.report.AfterLogout = &again
	}
	if held, err = r.holdings(ctx, r.machines[0]); err != nil {
		return err
	}
	r.report.CopiesAtEnd = fewest(held)
	return nil
}

// build founds the ring on the first machine and invites the others.
func (r *run) build(ctx context.Context) error {
	founder, others := r.machines[0], r.machines[1:]
	if err := r.step("up", "starting a ring on "+founder.label, func() (string, error) {
		return "ring started on " + founder.label, founder.start(ctx, "", "up")
	}); err != nil {
		return err
	}
	return r.step("join", fmt.Sprintf("inviting %d more", len(others)), func() (string, error) {
		token, err := founder.command(ctx, "", "invite", "--print", "token", "--uses", fmt.Sprint(len(others)))
		if err != nil {
			return "", err
		}
		var joining errgroup.Group
		for _, m := range others {
			joining.Go(func() error { return m.start(ctx, string(token), "join", "-") })
		}
		if err := joining.Wait(); err != nil {
			return "", err
		}
		return labels(others) + " joined by invite", r.eventually(ctx, r.machines, func(s api.Status) bool {
			return s.Alive == len(r.machines)
		})
	})
}

// store stores everything through the first machine.
func (r *run) store(ctx context.Context, paths []string) error {
	return r.step("store", "storing "+amount(r.files), func() (string, error) {
		began := time.Now()
		out, err := r.machines[0].command(ctx, "", append([]string{"store", "--json", "--progress", "off", "--"}, paths...)...)
		if err != nil {
			return "", err
		}
		r.report.Store = Transfer{Through: r.machines[0].label, Files: len(r.files), Bytes: size(r.files), Seconds: time.Since(began).Seconds()}
		for _, line := range lines(out) {
			if line.Type == "item" {
				r.report.Store.Sent += line.Sent
			}
		}
		return fmt.Sprintf("stored %s through %s (%s on the wire)", amount(r.files), r.machines[0].label, humanize.IBytes(uint64(r.report.Store.Sent))), nil
	})
}

// holdings asks m for every file's holders.
func (r *run) holdings(ctx context.Context, m *machine) ([]holding, error) {
	var all []holding
	for _, f := range r.files {
		out, err := m.command(ctx, "", "stat", "--json", "--", f.name)
		if err != nil {
			return nil, err
		}
		var doc api.Stat
		if err := json.Unmarshal(out, &doc); err != nil {
			return nil, fmt.Errorf("read what stat says of %q: %w", f.name, err)
		}
		h := holding{file: f, want: doc.Want}
		for _, holder := range doc.Holders {
			if holder.State == "durable" {
				h.nodes = append(h.nodes, holder.Name)
			}
		}
		all = append(all, h)
	}
	return all, nil
}

// kill ends the victim as a power cut would.
func (r *run) kill(ctx context.Context, c cast, held []holding) error {
	return r.step("kill", "killing "+c.victim.label, func() (string, error) {
		r.report.Killed, r.report.Copies, r.report.Want = c.victim.label, fewest(held), held[0].want
		if err := ctx.Err(); err != nil {
			return "", err
		}
		return fmt.Sprintf("killed %s with SIGKILL; it held %d of the %d files", c.victim.label, count(held, c.victim.label), len(held)), c.victim.kill()
	})
}

// fetch fetches every file through m and compares it with what was stored.
func (r *run) fetch(ctx context.Context, m *machine) (Transfer, error) {
	t := Transfer{Through: m.label, Bytes: size(r.files)}
	err := r.step("fetch", "fetching everything through "+m.label, func() (string, error) {
		dir := filepath.Join(r.dir, "fetched-by-"+m.label)
		began := time.Now()
		for some := range slices.Chunk(r.files, batch) {
			args := []string{"fetch", "--json", "--progress", "off", "-o", dir + string(filepath.Separator), "--"}
			for _, f := range some {
				args = append(args, f.name)
			}
			out, err := m.command(ctx, "", args...)
			if err != nil {
				return "", err
			}
			for _, line := range lines(out) {
				if line.Type == "warning" {
					t.Warnings++
				}
			}
		}
		t.Seconds = time.Since(began).Seconds()
		var err error
		t.Files, err = compare(r.files, dir)
		return fmt.Sprintf("fetched %d of %d files through %s, every byte compared", t.Files, len(r.files), m.label), err
	})
	return t, err
}

// notice waits until the living see that the victim is gone, and shows the ring.
func (r *run) notice(ctx context.Context, c cast) error {
	living := slices.DeleteFunc(slices.Clone(r.machines), func(m *machine) bool { return m == c.victim })
	if err := r.step("notice", "waiting until all notice", func() (string, error) {
		err := r.eventually(ctx, living, func(s api.Status) bool { return s.Alive == len(living) })
		return fmt.Sprintf("all %d others know that %s is gone", len(living), c.victim.label), err
	}); err != nil {
		return err
	}
	drawing, err := c.reader.command(ctx, "", "ring")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == api.ExitPartial {
		err = nil // the dead node says nothing
	}
	if err != nil {
		return err
	}
	r.out.ring(string(drawing), r.machines)
	return nil
}

// logout lets m hand over what it holds and leave.
func (r *run) logout(ctx context.Context, m *machine) error {
	return r.step("logout", "logging out "+m.label, func() (string, error) {
		out, err := m.command(ctx, "", "logout", "--json", "--timeout", settleTime.String())
		if err != nil {
			return "", err
		}
		if err := m.awaitGone(); err != nil {
			return "", err
		}
		m.state = left
		r.report.LoggedOut = m.label
		for _, line := range lines(out) {
			r.report.Moved += line.Moved
			r.report.Short += len(line.Short)
		}
		done := fmt.Sprintf("%s logged out; it handed over %d files", m.label, r.report.Moved)
		if r.report.Short > 0 {
			done += fmt.Sprintf(", %d have too few copies now", r.report.Short)
		}
		return done, nil
	})
}

// step tells of one step while f does it.
func (r *run) step(name, doing string, f func() (string, error)) error {
	began := time.Now()
	r.out.begin(doing)
	done, err := f()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	r.out.end(name, done, time.Since(began))
	return nil
}

// eventually asks each machine for its status until all satisfy ok.
func (r *run) eventually(ctx context.Context, machines []*machine, ok func(api.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for _, m := range machines {
		for {
			var s api.Status
			out, err := m.command(ctx, "", "status", "--json")
			if err == nil {
				err = json.Unmarshal(out, &s)
			}
			if err == nil && ok(s) {
				break
			}
			select {
			case <-ctx.Done():
				return errors.Join(fmt.Errorf("%s still sees %d of %d members alive: %w", m.label, s.Alive, s.Members, ctx.Err()), err)
			case <-tick.C:
			}
		}
	}
	return nil
}

// line is what the demo reads of a command's JSON lines.
type line struct {
	Type  string   `json:"type"`
	Sent  int64    `json:"sent"`
	Moved int      `json:"moved"`
	Short []string `json:"short"`
}

func lines(out []byte) []line {
	var all []line
	for text := range strings.Lines(string(out)) {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil {
			all = append(all, l)
		}
	}
	return all
}
