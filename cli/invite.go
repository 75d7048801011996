package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// maxTokenLine is far more than any token.
const maxTokenLine = 16 << 10

// inviteOptions are the flags of invite.
type inviteOptions struct {
	ttl   time.Duration
	uses  int
	print string
}

// AddFlags declares the flags on f.
func (o *inviteOptions) AddFlags(f *pflag.FlagSet) {
	f.DurationVar(&o.ttl, "ttl", 24*time.Hour, "how long it can be used")
	f.IntVar(&o.uses, "uses", 1, "how many machines can use it")
	f.StringVar(&o.print, "print", "command", "what to print: command, or token alone")
}

func newInviteCommand(a *app) *cobra.Command {
	var o inviteOptions
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Print the line to paste on a machine that shall join",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runInvite(cmd.Context(), a, o) },
	}
	o.AddFlags(cmd.Flags())
	cmd.AddCommand(
		&cobra.Command{
			Use:   "ls",
			Short: "List the invitations of this node",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return runInviteList(cmd.Context(), a) },
		},
		&cobra.Command{
			Use:   "revoke ID",
			Short: "Make an invitation worthless",
			Args:  takes(1, 1),
			RunE:  func(cmd *cobra.Command, args []string) error { return runInviteRevoke(cmd.Context(), a, args[0]) },
		})
	return cmd
}

func runInvite(ctx context.Context, a *app, o inviteOptions) error {
	switch {
	case o.print != "token" && o.print != "command":
		return usagef("--print: %q is not one of token, command", o.print)
	case o.ttl <= 0:
		return usagef("--ttl must be greater than zero")
	case o.uses < 1:
		return usagef("--uses must be at least 1")
	}
	client := a.client()
	defer client.Close()
	invite, err := client.Invite(ctx, o.ttl, o.uses)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(invite)
	}
	if o.print == "token" {
		a.printf("%s\n", invite.Token)
		return nil
	}
	a.printf("dhtfs join %s\n", invite.Token)
	a.inform("Paste this on %s. It can be used until %s; whoever has it can join.\n",
		map[bool]string{true: "the new machine", false: fmt.Sprintf("up to %d machines", o.uses)}[o.uses == 1],
		clock(invite.Expires, time.Now()))
	return nil
}

func runInviteList(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	doc, err := client.Invites(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	now := time.Now()
	var rows [][]string
	for _, i := range doc.Invites {
		state := "open"
		switch {
		case i.Revoked:
			state = "revoked"
		case i.Uses <= 0:
			state = "used"
		case now.After(i.Expires):
			state = "expired"
		}
		rows = append(rows, []string{i.ID, state, fmt.Sprint(i.Uses), clock(i.Expires, now)})
	}
	return a.printTable([]string{"ID", "STATE", "USES LEFT", "EXPIRES"}, rows)
}

func runInviteRevoke(ctx context.Context, a *app, id string) error {
	client := a.client()
	defer client.Close()
	if err := client.RevokeInvite(ctx, id); err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doneDocument{Schema: "dhtfs.invite-revoke/v1", OK: true})
	}
	if !a.global.quiet {
		a.printf("revoked %s\n", escape(id))
	}
	return nil
}

// readLine reads the first line of standard input.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxTokenLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimSpace(line), nil
}
