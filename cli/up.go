package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/filestore"
	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
	"github.com/dhtfs/dhtfs/transfer/trust"
)

func newUpCommand(a *app) *cobra.Command {
	var o nodeOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start this node in the background; without a ring, create one",
		Long: `Start the node of this home in the background and wait until it is ready. If
the home is no member of a ring, a new ring is created. The flags are
remembered: a later bare "dhtfs up" brings the same node back.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runUp(cmd.Context(), a, cmd, &o) },
	}
	o.AddFlags(cmd.Flags(), true)
	return cmd
}

func runUp(ctx context.Context, a *app, cmd *cobra.Command, o *nodeOptions) error {
	if err := a.paths.make(); err != nil {
		return err
	}
	unlock, running, err := claim(ctx, a)
	if err != nil {
		return err
	}
	if running != nil {
		return reportUp(ctx, a, *running, "running", o.watch)
	}
	_, founded, err := foundIfNone(a.paths, o)
	unlock()
	if err != nil {
		return err
	}
	info, err := launch(ctx, a, arguments(cmd.Flags(), a.given))
	if errors.Is(err, filestore.ErrLocked) { // by another up, which was faster
		return awaitOther(ctx, a, o.watch)
	}
	if err != nil {
		return err
	}
	if founded {
		return reportUp(ctx, a, info, "created", o.watch)
	}
	return reportUp(ctx, a, info, "started", o.watch)
}

// awaitOther reports on the daemon that another process is starting.
func awaitOther(ctx context.Context, a *app, watch []string) error {
	unlock, running, err := claim(ctx, a)
	if err != nil {
		return err
	}
	if running == nil {
		unlock()
		return fmt.Errorf("%w for %s: another process has started and stopped one", api.ErrNoDaemon, a.paths.place())
	}
	return reportUp(ctx, a, *running, "running", watch)
}

// claimTimeout is how long claim waits for another process that is about to
// start or stop the daemon.
const claimTimeout = 30 * time.Second

// claim takes the lock of the home, or finds that its daemon is running.
func claim(ctx context.Context, a *app) (unlock func(), running *daemonInfo, err error) {
	deadline := time.After(claimTimeout)
	for {
		unlock, err := lockHome(a.paths)
		if err == nil || !errors.Is(err, filestore.ErrLocked) {
			return unlock, nil, err
		}
		if info, err := readDaemonInfo(a.paths.daemonFile()); err == nil && waitReady(ctx, a) == nil {
			return nil, &info, nil
		}
		select {
		case <-deadline:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
}

// upDocument is what up and join print with --json.
type upDocument struct {
	Schema  string `json:"schema"` // dhtfs.up/v1
	Action  string `json:"action"` // created, joined, started or running
	Ring    string `json:"ring"`
	Node    string `json:"node"`
	NodeID  string `json:"node_id"`
	Listen  string `json:"listen"`
	HTTP    string `json:"http"`
	PID     int    `json:"pid"`
	Members int    `json:"members"`
}

// reportUp tells that the daemon is there, once it watches the folders that
// were asked for.
func reportUp(ctx context.Context, a *app, info daemonInfo, action string, watch []string) error {
	client := a.client()
	defer client.Close()
	if err := watchAll(ctx, client, watch); err != nil {
		return err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(upDocument{
			Schema:  "dhtfs.up/v1",
			Action:  action,
			Ring:    status.Ring,
			Node:    status.Node,
			NodeID:  status.NodeID,
			Listen:  info.Listen,
			HTTP:    info.HTTP,
			PID:     info.PID,
			Members: status.Members,
		})
	}
	if a.global.quiet {
		return nil
	}
	if action == "created" || action == "joined" {
		a.printf("created identity %s (node %s)\n", escape(status.Node), short(status.NodeID))
	}
	verb := map[string]string{
		"created": "started ring", "joined": "joined ring", "started": "back on ring", "running": "already running on ring",
	}[action]
	a.printf("%s %q, listening on %s", verb, status.Ring, bare(info.Listen))
	if info.HTTP != "" {
		a.printf(", dashboard http://%s", info.HTTP)
	}
	a.printf("\n")
	if status.Members == 1 {
		a.printf("This ring has one node; files have one copy. To add a machine:  %s\n", a.command("invite"))
	} else if action == "joined" {
		a.printf("This ring has %s.\n", plural(status.Members, "node"))
	}
	if len(watch) > 0 {
		a.printf("What is in %s is published. What it is up to:  %s\n", escape(strings.Join(watch, ", ")), a.command("watch status"))
	}
	return nil
}

// bare is the port alone of an address that stands for every interface.
func bare(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return port
	}
	return address
}

func newJoinCommand(a *app) *cobra.Command {
	var o nodeOptions
	cmd := &cobra.Command{
		Use:   "join TOKEN|-",
		Short: "Join a ring with the token that invite printed; implies up",
		Args:  takes(1, 1),
		RunE:  func(cmd *cobra.Command, args []string) error { return runJoin(cmd.Context(), a, cmd, &o, args[0]) },
	}
	o.AddFlags(cmd.Flags(), false)
	return cmd
}

func runJoin(ctx context.Context, a *app, cmd *cobra.Command, o *nodeOptions, token string) error {
	if token == "-" {
		line, err := readLine(a.stdin)
		if err != nil {
			return err
		}
		token = line
	}
	if err := a.paths.make(); err != nil {
		return err
	}
	unlock, running, err := claim(ctx, a)
	if err != nil {
		return err
	}
	if running != nil {
		return alreadyMember(a)
	}
	err = join(ctx, a, o, strings.TrimSpace(token))
	unlock()
	if err != nil {
		return err
	}
	info, err := launch(ctx, a, arguments(cmd.Flags(), a.given))
	if err != nil {
		return err
	}
	return reportUp(ctx, a, info, "joined", o.watch)
}

// join makes this home a member; the caller has its lock.
func join(ctx context.Context, a *app, o *nodeOptions, token string) error {
	if m, err := node.LoadMembership(a.paths.Membership); err == nil {
		if m.Departed() == nil {
			return alreadyMember(a)
		}
		kept, err := retire(a.paths, time.Now())
		if err != nil {
			return err
		}
		if kept != "" {
			warnOfKept(a, kept)
		}
	}
	_, err := node.Join(ctx, node.JoinOptions{Dir: a.paths.Membership, Token: token, Label: o.name, VNodes: o.vnodes})
	return refusedJoin(err)
}

// refusedJoin adds to an error of joining what to try, where that is not what it
// would be for a member.
func refusedJoin(err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	switch api.Describe(err).ID {
	case "invite_expired":
		if errors.Is(err, trust.ErrTokenExpired) { // nobody else has looked at it
			hint = "check this machine's clock; if it is right, ask for a new one:  dhtfs invite  on a machine of the ring"
			break
		}
		hint = "ask for one that lasts longer:  dhtfs invite --ttl 72h  on a machine of the ring"
	case "invite_used":
		hint = "ask for one for this machine, or for several:  dhtfs invite --uses 3  on a machine of the ring"
	case "invite_revoked":
		hint = "ask who runs the ring whether this machine may join;  dhtfs invite  there makes a new one"
	case "foreign", "wrong_machine":
		hint = "another ring is at the address now; ask for a new invite:  dhtfs invite  on a machine of the right ring"
	case "busy":
		hint = "run the same command again in a moment"
	case "unreachable", "timeout":
		hint = "see that the ring's machines are up and their ports open:  dhtfs doctor  there; if they have moved, ask for a new invite"
	default:
		return err
	}
	return withHint(err, "%s", hint)
}

func alreadyMember(a *app) error {
	return &api.Error{
		Code:    api.ExitError,
		ID:      "already_member",
		Message: "the home " + a.paths.place() + " is a member of a ring already",
		Hint:    "leave it first:  " + a.command("logout") + ",  or use another home:  dhtfs --home DIR join TOKEN",
	}
}
