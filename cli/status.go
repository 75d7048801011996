package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

// statusOptions are the flags of status.
type statusOptions struct {
	wait    string
	timeout time.Duration
	login   bool
}

// AddFlags declares the flags on f.
func (o *statusOptions) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.wait, "wait", "", "ready: wait until the node is in its place")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long --wait waits")
	f.BoolVar(&o.login, "login", false, "print an address that opens the dashboard in a browser, once")
}

func newStatusCommand(a *app) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the ring, this node and the health of the files",
		Args:  takes(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), a, o) },
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runStatus(ctx context.Context, a *app, o statusOptions) error {
	client := a.client()
	defer client.Close()
	if o.login {
		return runLogin(ctx, a, client)
	}
	status, err := askStatus(ctx, client, o)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(status)
	}
	printStatus(a, status)
	return nil
}

func askStatus(ctx context.Context, client *api.Client, o statusOptions) (api.Status, error) {
	switch {
	case o.wait == "":
		return client.Status(ctx)
	case o.wait != "ready":
		return api.Status{}, usagef("--wait: %q is not \"ready\"", o.wait)
	case o.timeout <= 0:
		return api.Status{}, usagef("--timeout must be greater than zero")
	}
	status, err := client.WaitReady(ctx, o.timeout)
	if errors.Is(err, node.ErrNotReady) {
		return status, &api.Error{
			Code:    api.ExitError,
			ID:      "not_ready",
			Message: "the node is not in its place on the ring after " + o.timeout.String(),
		}
	}
	return status, err
}

func runLogin(ctx context.Context, a *app, client *api.Client) error {
	login, err := client.Login(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(login)
	}
	a.printf("%s\n", login.URL)
	return nil
}

// health is what is not as it should be, in a few words.
func health(s api.Status) string {
	var faults []string
	if silent := s.Members - s.Alive; silent > 0 {
		verb := "do"
		if silent == 1 {
			verb = "does"
		}
		faults = append(faults, fmt.Sprintf("%d of %s %s not answer", silent, plural(s.Members, "node"), verb))
	}
	if s.CopiesMissing > 0 {
		faults = append(faults, plural(s.CopiesMissing, "copy")+" missing")
	}
	if s.Degraded != "" {
		faults = append(faults, "this node is degraded")
	}
	switch {
	case len(faults) > 0:
		return strings.Join(faults, ", ")
	case !s.Ready:
		return "health not known yet"
	}
	return "all healthy"
}

// neighbours are the nodes beside this one on the ring.
func neighbours(s api.Status) string {
	successor, predecessor := "", ""
	for _, p := range s.Positions {
		for _, peer := range p.Successors {
			if peer.Machine != s.Machine && successor == "" {
				successor = ", successor " + peer.Name
			}
		}
		if p.Predecessor != nil && p.Predecessor.Machine != s.Machine && predecessor == "" {
			predecessor = ", predecessor " + p.Predecessor.Name
		}
	}
	if successor+predecessor == "" && s.Alive <= 1 {
		return ", alone on the ring"
	}
	return successor + predecessor
}

func printStatus(a *app, s api.Status) {
	a.printf("ring %s: %s, %d alive; %s here, %s; %d copies wanted, %s\n",
		escape(s.Ring), plural(s.Members, "node"), s.Alive, plural(s.Files, "file"), size(s.Bytes), s.N, health(s))
	a.printf("this node %s %s: up %s", escape(s.Node), short(s.NodeID), since(time.Since(s.Started)))
	a.printf("%s, %s of %s\n", escape(neighbours(s)), size(s.Bytes), size(s.Capacity))
	if w := s.Watch; w != nil {
		a.printf("watching %s: %s\n", plural(w.Folders, "folder"), watchCounts(w.Files, w.Published, w.Waiting, w.Failed))
		if w.Failed+w.Faults > 0 {
			a.warn("something is wrong with the watched folders:  %s", a.command("watch status"))
		}
	}
	if !s.Ready {
		a.warn("this node is not in its place on the ring yet")
	}
	if s.Degraded != "" {
		a.warn("this node is degraded: it serves what it has and takes nothing new: %s", s.Degraded)
	}
	for _, w := range s.Warnings {
		a.warn("%s", w)
	}
}
