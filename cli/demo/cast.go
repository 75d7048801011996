package demo

import (
	"cmp"
	"slices"
	"strings"
)

// holding is a file and the labels of the nodes that hold it durably.
type holding struct {
	file  file
	nodes []string
	want  int
}

// cast is who plays what, besides the first machine, which founds and stores.
type cast struct {
	victim *machine // the one that is killed: it holds the most
	reader *machine // the one that everything is fetched through: it holds the least
	leaver *machine // the one that logs out; nil when there is no fourth
}

// assign gives the parts to machines, by what they hold.
func assign(machines []*machine, held []holding) cast {
	others := slices.Clone(machines[1:])
	slices.SortStableFunc(others, func(a, b *machine) int {
		return cmp.Compare(count(held, b.label), count(held, a.label))
	})
	c := cast{victim: others[0], reader: others[len(others)-1]}
	if len(others) > 2 {
		c.leaver = others[1]
	}
	return c
}

// count returns how many files a node holds.
func count(held []holding, label string) int {
	n := 0
	for _, h := range held {
		if slices.Contains(h.nodes, label) {
			n++
		}
	}
	return n
}

// fewest returns the number of copies of the file that has fewest.
func fewest(held []holding) int {
	return len(slices.MinFunc(held, func(a, b holding) int { return cmp.Compare(len(a.nodes), len(b.nodes)) }).nodes)
}

func labels(machines []*machine) string {
	names := make([]string, len(machines))
	for i, m := range machines {
		names[i] = m.label
	}
	return strings.Join(names, ", ")
}
