package cli

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dhtfs/dhtfs/node/api"
)

// ringOptions are the flags of ring.
type ringOptions struct {
	dot bool
	svg bool
}

// AddFlags declares the flags on f.
func (o *ringOptions) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.dot, "dot", false, "print it for Graphviz")
	f.BoolVar(&o.svg, "svg", false, "print it as an SVG picture")
}

func newRingCommand(a *app) *cobra.Command {
	var o ringOptions
	cmd := &cobra.Command{
		Use:   "ring",
		Short: "Draw the ring",
		Args:  takes(0, 0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runRing(cmd.Context(), a, o) },
	}
	o.AddFlags(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("dot", "svg")
	return cmd
}

func runRing(ctx context.Context, a *app, o ringOptions) error {
	client := a.client()
	defer client.Close()
	doc, err := client.Ring(ctx)
	if err != nil {
		return err
	}
	switch {
	case a.global.json:
		err = a.printJSON(doc)
	case o.dot:
		a.printf("%s", dotOf(doc))
	case o.svg:
		a.printf("%s", svgOf(doc))
	default:
		a.printf("%s\n", textOf(doc))
		err = a.printTable([]string{"NODE", "NAME", "ADDRESS", "OWNS", "PREDECESSOR", "SUCCESSORS"}, ringRows(doc))
	}
	if err != nil {
		return err
	}
	if !doc.Complete {
		return &api.Error{
			Code:    api.ExitPartial,
			ID:      "partial",
			Message: fmt.Sprintf("%d of %d nodes did not answer", doc.Nodes.Asked-doc.Nodes.Answered, doc.Nodes.Asked),
			Hint:    "see who answers:  " + a.command("nodes"),
		}
	}
	return nil
}

// ringRows is a line for each position, in ring order.
func ringRows(doc api.Ring) [][]string {
	var rows [][]string
	for i, p := range doc.Positions {
		before := doc.Positions[(i+len(doc.Positions)-1)%len(doc.Positions)]
		owns := turn(p.ID) - turn(before.ID)
		if owns <= 0 {
			owns++
		}
		predecessor := "-"
		if p.Predecessor != nil {
			predecessor = p.Predecessor.Name
		}
		var successors []string
		for _, s := range p.Successors {
			successors = append(successors, s.Name)
		}
		rows = append(rows, []string{
			short(p.ID), p.Name, p.Address, fmt.Sprintf("%.1f %%", owns*100), predecessor, strings.Join(successors, " "),
		})
	}
	return rows
}

// turn is where on the circle an ID is, from 0 up to 1.
func turn(id string) float64 {
	n, ok := new(big.Int).SetString(id, 16)
	if !ok {
		return 0
	}
	whole := new(big.Float).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(4*len(id))))
	part, _ := new(big.Float).Quo(new(big.Float).SetInt(n), whole).Float64()
	return part
}

// textOf draws the ring with its names around it, zero at the top, clockwise.
func textOf(doc api.Ring) string {
	const width, height, side = 44, 17, 24
	canvas := make([][]rune, height+2)
	for y := range canvas {
		canvas[y] = []rune(strings.Repeat(" ", width+2*side))
	}
	at := func(turn float64) (x, y int, right bool) {
		angle := 2 * math.Pi * turn
		dx, dy := math.Sin(angle), -math.Cos(angle)
		return side + int(math.Round((dx+1)/2*float64(width-1))), 1 + int(math.Round((dy+1)/2*float64(height-1))), dx >= 0
	}
	for i := range 4 * width {
		x, y, _ := at(float64(i) / (4 * width))
		canvas[y][x] = '·'
	}
	for _, p := range doc.Positions {
		x, y, right := at(turn(p.ID))
		canvas[y][x] = '●'
		label := []rune(escape(p.Name) + " " + p.ID[:min(4, len(p.ID))])
		label = label[:min(len(label), side-4)]
		begin := x + 1
		if right {
			label = append([]rune{' '}, label...)
		} else {
			label = append(label, ' ')
			begin = x - len(label)
		}
		copy(canvas[y][max(begin, 0):], label)
	}
	title := []rune(fmt.Sprintf("%s: %s", escape(doc.Ring), plural(len(doc.Positions), "position")))
	copy(canvas[height/2+1][max(side+(width-len(title))/2, 0):], title)
	var b strings.Builder
	for _, line := range canvas {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return b.String()
}

// dotOf is the ring for Graphviz: solid to the successor, dotted to the predecessor.
func dotOf(doc api.Ring) string {
	var b strings.Builder
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(escape(s)) + `"` }
	fmt.Fprintf(&b, "digraph %s {\n  layout=circo\n", quote(doc.Ring))
	for _, p := range doc.Positions {
		fmt.Fprintf(&b, "  %s [label=%s]\n", quote(p.ID), quote(p.Name+" "+short(p.ID)))
	}
	for _, p := range doc.Positions {
		if len(p.Successors) > 0 {
			fmt.Fprintf(&b, "  %s -> %s\n", quote(p.ID), quote(p.Successors[0].ID))
		}
		if p.Predecessor != nil {
			fmt.Fprintf(&b, "  %s -> %s [style=dotted]\n", quote(p.ID), quote(p.Predecessor.ID))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// svgOf is the ring as a picture.
func svgOf(doc api.Ring) string {
	const middle, radius = 320, 200
	var b strings.Builder
	text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="14">`+"\n", 2*middle, 2*middle)
	fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="%d" fill="none" stroke="#999"/>`+"\n", middle, middle, radius)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" font-size="20">%s</text>`+"\n", middle, middle, text.Replace(escape(doc.Ring)))
	for _, p := range doc.Positions {
		angle := 2 * math.Pi * turn(p.ID)
		dx, dy := math.Sin(angle), -math.Cos(angle)
		anchor := "start"
		if dx < 0 {
			anchor = "end"
		}
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="6" fill="#27a"/>`, middle+radius*dx, middle+radius*dy)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s %s</text>`+"\n",
			middle+(radius+14)*dx, middle+(radius+14)*dy+5, anchor, text.Replace(escape(p.Name)), short(p.ID))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
