package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Network is a switch of its own that each node is plugged into from a network
// namespace of its own, so that links between them can be cut. It needs the
// right to make namespaces, ip and nft.
type Network struct {
	prefix string // of all names, so that several test processes do not meet
	plugs  map[*Node]string
}

// Tool skips the test, loudly, unless it runs as root and the programs are there.
func Tool(t testing.TB, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("NOT TESTED: needs %s", p)
		}
	}
}

// NewNetwork makes the switch, to go with the test, or skips the test.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	Tool(t, "ip", "nft")
	n := &Network{prefix: fmt.Sprintf("dhtfs%d", os.Getpid()), plugs: map[*Node]string{}}
	if out, err := exec.Command("ip", "netns", "add", n.hub()).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: cannot make a network namespace: %s", out)
	}
	t.Cleanup(func() { n.run(t, "ip", "netns", "del", n.hub()) })
	n.run(t, "ip", "-n", n.hub(), "link", "add", "hub", "type", "bridge")
	n.run(t, "ip", "-n", n.hub(), "link", "set", "hub", "up")
	n.rules(t, "add table bridge cuts", "add chain bridge cuts forward { type filter hook forward priority 0; }")
	return n
}

func (n *Network) hub() string { return n.prefix + "hub" }

// Plug gives a node that has not been started a namespace and an address of its
// own, the i-th.
func (n *Network) Plug(t testing.TB, i int, node *Node) {
	t.Helper()
	space, plug, address := fmt.Sprintf("%sn%d", n.prefix, i), fmt.Sprintf("p%d", i), fmt.Sprintf("10.99.0.%d", i+1)
	n.run(t, "ip", "netns", "add", space)
	t.Cleanup(func() { n.run(t, "ip", "netns", "del", space) })
	n.run(t, "ip", "link", "add", "eth", "netns", space, "type", "veth", "peer", "name", plug, "netns", n.hub())
	n.run(t, "ip", "-n", space, "addr", "add", address+"/24", "dev", "eth")
	n.run(t, "ip", "-n", space, "link", "set", "lo", "up")
	n.run(t, "ip", "-n", space, "link", "set", "eth", "up")
	n.run(t, "ip", "-n", n.hub(), "link", "set", plug, "master", "hub", "up")
	n.plugs[node] = plug
	node.Prefix = []string{"ip", "netns", "exec", space}
	node.Listen = address + ":0"
}

// Cut drops every frame from one set of nodes to another; what flows the other
// way still does.
func (n *Network) Cut(t testing.TB, from, to []*Node) {
	t.Helper()
	n.rules(t, fmt.Sprintf("add rule bridge cuts forward iifname { %s } oifname { %s } drop", n.list(from), n.list(to)))
}

// HealAll ends every cut.
func (n *Network) HealAll(t testing.TB) {
	t.Helper()
	n.rules(t, "flush chain bridge cuts forward")
}

func (n *Network) list(nodes []*Node) string {
	var plugs []string
	for _, node := range nodes {
		plugs = append(plugs, `"`+n.plugs[node]+`"`)
	}
	return strings.Join(plugs, ", ")
}

func (n *Network) rules(t testing.TB, lines ...string) {
	t.Helper()
	for _, line := range lines {
		n.run(t, "ip", "netns", "exec", n.hub(), "nft", line)
	}
}

func (n *Network) run(t testing.TB, line ...string) {
	t.Helper()
	out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
	require.NoError(t, err, "%s: %s", strings.Join(line, " "), out)
}
