package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

func newPromoteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "promote NODE",
		Short: "Let another node invite machines, too",
		Long: `Make another node an issuer: it can then invite machines, renew certificates,
forget, revoke and promote, like this one. With two issuers or more the ring can
lose the machine that started it.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeMember(cmd.Context(), a, func(ctx context.Context, c *api.Client) (api.MemberChange, error) {
				return c.Promote(ctx, args[0])
			}, func(doc api.MemberChange) { a.printf("%s can let machines in now\n", escape(doc.Name)) })
		},
	}
}

func newForgetCommand(a *app) *cobra.Command {
	var yes, force bool
	cmd := &cobra.Command{
		Use:   "forget NODE",
		Short: "Give up a node that does not come back",
		Long: `Take a node that is dead off the list of members: its copies count no more, and
the others make them anew. It can be invited again. A node that answers is only
forgotten with --force.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask(cmd.Context(), a, yes, "forget "+escape(args[0])+"? Its copies will count no more."); err != nil {
				return err
			}
			return changeMember(cmd.Context(), a, func(ctx context.Context, c *api.Client) (api.MemberChange, error) {
				return c.Forget(ctx, args[0], force)
			}, func(doc api.MemberChange) {
				a.printf("forgot %s; the copies that it had are made anew\n", escape(doc.Name))
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&force, "force", false, "also when the node answers")
	return cmd
}

func newRevokeCommand(a *app) *cobra.Command {
	var yes, withAdmitted bool
	cmd := &cobra.Command{
		Use:   "revoke NODE",
		Short: "Shut a node out for ever, as one that was stolen",
		Long: `Shut a node out for ever: the others refuse it from then on and end their
connections with it. If it is an issuer, those that it has let in stay, and this
node vouches for them from then on, unless --with-admitted is given; whatever it
signs after that is worth nothing.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask(cmd.Context(), a, yes, "shut "+escape(args[0])+" out for ever?"); err != nil {
				return err
			}
			return changeMember(cmd.Context(), a, func(ctx context.Context, c *api.Client) (api.MemberChange, error) {
				return c.Revoke(ctx, args[0], withAdmitted)
			}, func(doc api.MemberChange) {
				a.printf("revoked %s\n", escape(doc.Name))
				a.printf("%s%s", namesOf("it had let in, and stay: ", doc.Kept), namesOf("it had let in, and are out, too: ", doc.Out))
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&withAdmitted, "with-admitted", false, "shut out those that it has let in, too")
	return cmd
}

// namesOf is a line with the names of members, nothing where there are none.
func namesOf(what string, members []api.Admitted) string {
	if len(members) == 0 {
		return ""
	}
	var names []string
	for _, m := range members {
		names = append(names, escape(m.Name))
	}
	return what + strings.Join(names, ", ") + "\n"
}

// changeMember does something with a member and says what came of it.
func changeMember(ctx context.Context, a *app, do func(context.Context, *api.Client) (api.MemberChange, error), say func(api.MemberChange)) error {
	client := a.client()
	defer client.Close()
	doc, err := do(ctx, client)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	if !a.global.quiet {
		say(doc)
	}
	return nil
}
