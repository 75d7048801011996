package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dhtfs/dhtfs/node"
	"github.com/dhtfs/dhtfs/node/api"
)

func newSpaceCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "df",
		Short: "Show the space that each node has",
		Args:  takes(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runSpace(cmd.Context(), a) },
	}
}

// spaceDocument is what `df --json` prints.
type spaceDocument struct {
	Schema   string         `json:"schema"` // dhtfs.df/v1
	Complete bool           `json:"complete"`
	Asked    api.NodesAsked `json:"nodes_asked"`
	Nodes    []spaceOfNode  `json:"nodes"`
	Total    spaceTotal     `json:"total"` // of the nodes that answered
}

// spaceOfNode is one node's space, in bytes.
type spaceOfNode struct {
	Name     string `json:"name"`
	ID       string `json:"id"`
	Machine  string `json:"machine"`
	State    string `json:"state"`
	Files    int    `json:"files"`
	Used     int64  `json:"used"`
	Capacity int64  `json:"capacity"` // used and free
	Free     int64  `json:"free"`     // that content can still take
	Aside    int64  `json:"quarantine,omitempty"`
}

// spaceTotal adds nodes up.
type spaceTotal struct {
	Files    int   `json:"files"` // copies of files
	Used     int64 `json:"used"`
	Capacity int64 `json:"capacity"`
	Free     int64 `json:"free"`
}

func runSpace(ctx context.Context, a *app) error {
	client := a.client()
	defer client.Close()
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return err
	}
	doc := spaceOf(nodes)
	if a.global.json {
		err = a.printJSON(doc)
	} else {
		err = a.printTable([]string{"NODE", "STATE", "FILES", "USED", "CAPACITY", "FREE", "USE"}, spaceRows(doc))
	}
	for _, s := range doc.Nodes {
		if s.Aside > 0 && !a.global.json {
			a.printf("%s has %s of damaged or foreign files in quarantine\n", escape(s.Name), size(s.Aside))
		}
	}
	if err == nil && !doc.Complete {
		err = &api.Error{
			Code: api.ExitPartial, ID: "partial",
			Message: fmt.Sprintf("%d of %s did not answer", doc.Asked.Asked-doc.Asked.Answered, plural(doc.Asked.Asked, "node")),
			Hint:    "see which:  " + a.command("nodes"),
		}
	}
	return err
}

// spaceOf is the space of the nodes that answered. One that is degraded takes
// no content, whatever its disk has room for.
func spaceOf(nodes api.Nodes) spaceDocument {
	doc := spaceDocument{Schema: "dhtfs.df/v1", Nodes: []spaceOfNode{}, Asked: api.NodesAsked{Asked: len(nodes.Nodes)}}
	for _, m := range nodes.Nodes {
		s := spaceOfNode{Name: m.Name, ID: m.ID, Machine: m.Machine, State: m.State, Files: m.Files, Used: m.Used, Capacity: m.Capacity, Free: m.Free, Aside: m.Aside}
		if m.State == string(node.Degraded) {
			s.Free = 0
		}
		if m.State != string(node.Silent) {
			doc.Asked.Answered++
			doc.Total.Files += s.Files
			doc.Total.Used += s.Used
			doc.Total.Capacity += s.Capacity
			doc.Total.Free += s.Free
		}
		doc.Nodes = append(doc.Nodes, s)
	}
	doc.Complete = doc.Asked.Answered == doc.Asked.Asked
	return doc
}

func spaceRows(doc spaceDocument) [][]string {
	row := func(name, state string, files int, used, capacity, free int64) []string {
		use := "-"
		if capacity > 0 {
			use = fmt.Sprintf("%d %%", used*100/capacity)
		}
		return []string{name, state, fmt.Sprint(files), size(used), size(capacity), size(free), use}
	}
	var rows [][]string
	for _, s := range doc.Nodes {
		if s.State == string(node.Silent) {
			rows = append(rows, []string{s.Name, s.State, "-", "-", "-", "-", "-"})
			continue
		}
		rows = append(rows, row(s.Name, s.State, s.Files, s.Used, s.Capacity, s.Free))
	}
	t := doc.Total
	return append(rows, row("total", "", t.Files, t.Used, t.Capacity, t.Free))
}
