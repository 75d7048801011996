package cli

import (
	"strings"

	"github.com/dhtfs/dhtfs/node/api"
)

// printTree draws a sorted listing with the segments of the names as branches.
func printTree(a *app, list lister) (api.ListSummary, error) {
	root := &branch{}
	summary, err := list(func(f api.File) error {
		root.add(strings.Split(f.Name, "/"), f)
		return nil
	})
	if err != nil {
		return summary, err
	}
	var b strings.Builder
	root.draw(&b, "")
	a.printf("%s", b.String())
	return summary, nil
}

// branch is a segment of names. One name can be both: "a" and "a/b" may both
// be stored.
type branch struct {
	segment  string
	file     *api.File
	children []*branch
	byName   map[string]*branch
}

func (t *branch) add(segments []string, f api.File) {
	if len(segments) == 0 {
		t.file = &f
		return
	}
	child := t.byName[segments[0]]
	if child == nil {
		child = &branch{segment: segments[0]}
		if t.byName == nil {
			t.byName = make(map[string]*branch)
		}
		t.byName[child.segment] = child
		t.children = append(t.children, child)
	}
	child.add(segments[1:], f)
}

func (t *branch) draw(b *strings.Builder, indent string) {
	for i, child := range t.children {
		fork, below := "├── ", "│   "
		if i == len(t.children)-1 {
			fork, below = "└── ", "    "
		}
		b.WriteString(indent + fork + escape(child.segment))
		if len(child.children) > 0 {
			b.WriteString("/")
		}
		if child.file != nil {
			b.WriteString("  " + size(child.file.Size))
		}
		b.WriteString("\n")
		child.draw(b, indent+below)
	}
}
