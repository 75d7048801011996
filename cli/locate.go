package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node/api"
)

func newLocateCommand(a *app) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "locate NAME",
		Short: "Show the lookup of a name hop by hop, and the nodes responsible for it",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("key") {
				return takes(0, 0)(cmd, args)
			}
			return takes(1, 1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runLocate(cmd.Context(), a, args, key) },
	}
	cmd.Flags().StringVar(&key, "key", "", "look up a key in `HEX` instead of a name")
	return cmd
}

func runLocate(ctx context.Context, a *app, args []string, key string) error {
	client := a.client()
	defer client.Close()
	var doc api.Locate
	var err error
	if len(args) > 0 {
		doc, err = client.LocateName(ctx, args[0])
	} else {
		doc, err = client.LocateKey(ctx, key)
	}
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	a.printf("key %s\n", doc.Key)
	for i, h := range doc.Hops {
		outcome := fmt.Sprintf("%.1f ms", h.RTT)
		if h.Error != "" {
			outcome = h.Error
		}
		a.printf("hop %d  %s %s at %s  %s\n", i+1, escape(h.Name), short(h.ID), escape(h.Address), escape(outcome))
	}
	a.printf("owner  %s %s at %s, found in %s\n", escape(doc.Owner.Name), short(doc.Owner.ID), escape(doc.Owner.Address),
		time.Duration(doc.Seconds*float64(time.Second)).Round(10*time.Microsecond))
	if doc.Vouched {
		a.printf("       it does not answer this node; those next to it say that it is there\n")
	}
	var rows [][]string
	for _, h := range doc.Group {
		rows = append(rows, []string{h.Name, short(h.ID), h.Address})
	}
	return a.printTable([]string{"GROUP", "NODE", "ADDRESS"}, rows)
}
