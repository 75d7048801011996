package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/dhtfs/dhtfs/node/api"
)

// Interrupted is the cause of a context that a signal has ended.
type Interrupted struct{ Signal os.Signal }

// Error names the signal.
func (i Interrupted) Error() string { return "stopped by signal: " + i.Signal.String() }

// code is 128 and the signal's number, as shells have it.
func (i Interrupted) code() int {
	if n, ok := i.Signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 130
}

// hinted is an error with the one thing to try.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// withHint adds a hint that is better than the usual one of hintOf.
func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// errQuiet ends a command with a code when all has been said.
type errQuiet int

func (e errQuiet) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitError is the last line on stderr of a command that failed, with --json.
type exitError struct {
	Type    string `json:"type"` // exit_error
	Code    int    `json:"code"`
	ID      string `json:"id"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// exit reports err and returns the exit code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	if quiet, ok := errors.AsType[errQuiet](err); ok {
		return int(quiet)
	}
	failure := a.describe(ctx, err)
	if a.global.json {
		line, err := json.Marshal(exitError{
			Type: "exit_error", Code: failure.Code, ID: failure.ID, Message: failure.Message, Hint: failure.Hint,
		})
		if err == nil {
			a.output(func() { _, _ = fmt.Fprintf(a.stderr, "%s\n", printableJSON(line)) })
		}
		return failure.Code
	}
	a.complain(failure)
	return failure.Code
}

// complain prints an error for people.
func (a *app) complain(failure *api.Error) {
	a.output(func() {
		_, _ = fmt.Fprintf(a.stderr, "error: %s\n", escape(failure.Message))
		if failure.Hint != "" {
			_, _ = fmt.Fprintf(a.stderr, "hint: %s\n", printableLines(failure.Hint))
		}
	})
}

// describe decides what an error is called, its exit code and its hint.
func (a *app) describe(ctx context.Context, err error) *api.Error {
	if stopped, ok := errors.AsType[Interrupted](context.Cause(ctx)); ok {
		return &api.Error{Code: stopped.code(), ID: "interrupted_by_signal", Message: stopped.Error()}
	}
	failure := api.Describe(err)
	if !a.begun && failure.ID == "internal" {
		failure.Code, failure.ID = api.ExitUsage, "usage"
	}
	if h, ok := errors.AsType[hinted](err); ok {
		failure.Hint = h.hint
	}
	if failure.Hint == "" && errors.Is(err, syscall.EROFS) {
		failure.Hint = "mount the disk for writing, or use another home:  --home DIR"
	}
	if failure.Hint == "" {
		failure.Hint = a.hintOf(failure.ID)
	}
	return failure
}

// hintOf is the one thing to try for each kind of failure.
func (a *app) hintOf(id string) string {
	switch id {
	case "usage":
		return "see  dhtfs help"
	case "no_daemon":
		return "start it:  " + a.command("up")
	case "daemon_gone":
		return "see " + a.paths.logFile() + ", and start it again:  " + a.command("up")
	case "daemon_silent":
		return "it is stopped, has no file descriptors left, or is busy; " + a.paths.logFile() + " says more. If it stays so, kill the process, and then:  " + a.command("up")
	case "not_found", "bad_name":
		return "what the ring has:  " + a.command("ls --ring")
	case "unavailable", "not_ready", "timeout", "unreachable", "busy":
		return "see who answers:  " + a.command("nodes")
	case "vacant":
		return "it may come back with the nodes that are down; those that are gone for good:  " + a.command("nodes forget NODE")
	case "outcome_unknown":
		return "see what is stored now:  " + a.command("stat NAME")
	case "name_collision":
		return "store it under another name:  --as NAME"
	case "local_file":
		return "check the path, and that you may read or write there"
	case "bad_range", "integrity":
		return "see the file and who holds it:  " + a.command("stat NAME")
	case "interrupted":
		return "run the same command again"
	case "degraded":
		return "see what is wrong:  " + a.command("status")
	case "no_such_invite":
		return "see which there are:  " + a.command("invite ls")
	case "no_such_node", "ambiguous_node":
		return "see the members and their node IDs:  " + a.command("nodes -v")
	case "node_alive":
		return "have it leave, on that machine:  dhtfs logout,  or shut it out:  " + a.command("nodes revoke NODE")
	case "other_issuer_needed":
		return "run it on another issuer; see which there are:  " + a.command("nodes")
	case "bad_token":
		return "paste the whole line that `dhtfs invite` printed"
	case "invite_expired", "invite_used", "invite_revoked", "invite_unknown", "foreign", "wrong_machine":
		return "ask for a new one:  dhtfs invite  on a machine of the ring"
	case "not_issuer":
		return "run it on an issuer:  " + a.command("nodes") + "  tells which are,  dhtfs nodes promote NODE  there makes more"
	case "departed", "revoked":
		return "this node is no member any more: join with a new invite"
	case "no_space":
		return "see how full the nodes are:  " + a.command("df")
	case "too_few_copies":
		return "the file is stored; the ring makes the copies it keeps of each file as soon as nodes answer:  " + a.command("stat NAME")
	case "not_watched":
		return "see which are:  " + a.command("watch ls")
	case "no_folder":
		return "name a folder that is there and that you may read"
	case "already_watched":
		return "see how:  " + a.command("watch ls") + ",  and to change that:  " + a.command("watch rm DIR")
	case "watch_overlap":
		return "watch another folder, or with --prefix P names of its own:  " + a.command("watch ls")
	case "locked":
		return "is a daemon running already?  " + a.command("status")
	case "clock":
		return "set this machine's clock, or that of the other one"
	case "last_member":
		return "fetch what you want to keep; to stop this node:  " + a.command("down")
	case "incompatible":
		return "install the same version on both machines:  dhtfs version"
	case "leaving":
		return "use another node"
	}
	return ""
}

// command is how the user would call dhtfs for this home.
func (a *app) command(verb string) string {
	if a.global.home == "" || os.Getenv(envName("home")) == a.global.home {
		return "dhtfs " + verb
	}
	return "dhtfs --home " + shellQuote(a.global.home) + " " + verb
}
