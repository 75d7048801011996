package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine and this node, and say what to do",
		Args:  takes(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), a) },
	}
}

// verdict is how a check came out.
type verdict string

// From good to bad.
const (
	fine   verdict = "ok"
	warned verdict = "warn"
	bad    verdict = "FAIL"
)

// finding is the outcome of one check.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"` // ok, warn or FAIL
	Message string  `json:"message"`
	Fix     string  `json:"fix,omitempty"` // what to do, unless it is ok
}

// doctorDocument is what `doctor --json` prints.
type doctorDocument struct {
	Schema   string    `json:"schema"` // dhtfs.doctor/v1
	OK       bool      `json:"ok"`     // nothing FAILs
	Findings []finding `json:"findings"`
}

// patient is what the checks look at.
type patient struct {
	app    *app
	status *api.Status // nil: no daemon answers
	reason error       // why
	nodes  []api.Member
}

func runDoctor(ctx context.Context, a *app) error {
	p := examine(ctx, a)
	doc := doctorDocument{Schema: "dhtfs.doctor/v1", OK: true, Findings: p.findings(ctx)}
	for _, f := range doc.Findings {
		doc.OK = doc.OK && f.Verdict != bad
	}
	if a.global.json {
		if err := a.printJSON(doc); err != nil {
			return err
		}
	} else {
		for _, f := range doc.Findings {
			a.printf("%-4s  %-8s  %s\n", f.Verdict, f.Check, escape(f.Message))
			if f.Fix != "" {
				a.printf("                %s\n", escape(f.Fix))
			}
		}
	}
	if !doc.OK {
		return errQuiet(api.ExitError)
	}
	return nil
}

// examine asks the daemon, if there is one.
func examine(ctx context.Context, a *app) *patient {
	p := &patient{app: a}
	client := a.client()
	defer client.Close()
	status, err := client.Status(ctx)
	if err != nil {
		p.reason = err
		return p
	}
	p.status = &status
	if nodes, err := client.Nodes(ctx); err == nil {
		p.nodes = nodes.Nodes
	}
	return p
}

// findings are the outcomes of all checks that can be made.
func (p *patient) findings(ctx context.Context) []finding {
	l := []finding{p.home(), p.daemon(), p.clock(), p.disk(), p.attributes(), p.watches(), p.openFiles()}
	switch {
	case errors.Is(p.reason, api.ErrNoDaemon):
		return append(l, p.freePort())
	case p.status == nil:
		return l
	}
	return append(l, p.port(ctx), p.versions(), p.members(), p.files())
}

func ok(check, format string, args ...any) finding {
	return finding{Check: check, Verdict: fine, Message: fmt.Sprintf(format, args...)}
}

func (f finding) warn(fix string, args ...any) finding {
	f.Verdict, f.Fix = warned, fmt.Sprintf(fix, args...)
	return f
}

func (f finding) fail(fix string, args ...any) finding {
	f.Verdict, f.Fix = bad, fmt.Sprintf(fix, args...)
	return f
}

// daemon looks whether one runs for this home.
func (p *patient) daemon() finding {
	switch {
	case errors.Is(p.reason, api.ErrNoDaemon):
		return ok("daemon", "none runs for this home, so much cannot be checked").warn("start it:  %s", p.app.command("up"))
	case p.status == nil:
		return ok("daemon", "no answer: %v", p.reason).fail("see its log: %s", p.app.paths.logFile())
	case p.status.Degraded != "":
		return ok("daemon", "this node is degraded: it serves what it has and takes nothing new: %s", p.status.Degraded).
			fail("see to the disk, then start the node again:  %s && %s", p.app.command("down"), p.app.command("up"))
	case !p.status.Ready:
		return ok("daemon", "it is not in its place on the ring yet").warn("wait for it:  %s", p.app.command("status --wait ready"))
	}
	return ok("daemon", "%s of ring %s answers", p.status.Node, p.status.Ring)
}
